// Text: what is there is read, what is broken is an error of one line.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "io/error.h"
#include "io/text_source.h"
#include "tests/io/temporary_directory.h"

namespace mneme::io {
namespace {

void write_text(const std::string& path, const std::string& content) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

std::string text_of(const TextSource& source) {
  return {reinterpret_cast<const char*>(source.bytes.data()), source.bytes.size()};
}

TEST(TextSource, a_file_is_its_bytes) {
  test::TemporaryDirectory directory;
  write_text(directory.file("a"), std::string("x\0y\n", 4));
  const TextSource source = read_text_source(directory.file("a"));
  EXPECT_EQ(text_of(source), std::string("x\0y\n", 4));
  ASSERT_EQ(source.files.size(), 1u);
  EXPECT_EQ(source.files[0].end, 4u);
}

TEST(TextSource, a_folder_is_its_files_in_order_of_their_paths) {
  test::TemporaryDirectory directory;
  write_text(directory.file("b.txt"), "two");
  write_text(directory.file("a/z.txt"), "one");
  write_text(directory.file("c.bin"), "none");
  write_text(directory.file("d.txt"), "");
  TextSourceOptions options;
  options.extensions = {".txt", ".md"};
  const TextSource source = read_text_source(directory.path(), options);
  EXPECT_EQ(text_of(source), "onetwo");
  ASSERT_EQ(source.files.size(), 2u);
  EXPECT_EQ(source.files[1].path, directory.file("b.txt"));
  EXPECT_EQ(source.files[1].begin, 3u);
  EXPECT_EQ(text_of(read_text_source(directory.path())), "onetwonone");
}

TEST(TextSource, no_text_is_an_error_of_one_line) {
  test::TemporaryDirectory directory;
  write_text(directory.file("a.txt"), "");
  TextSourceOptions markdown;
  markdown.extensions = {".md"};
  TextSourceOptions small;
  small.max_bytes = 2;
  write_text(directory.file("full/b.txt"), "abc");
  const struct {
    std::string path;
    TextSourceOptions options;
  } cases[] = {{directory.file("a.txt"), {}},
               {directory.file("none"), {}},
               {directory.path(), markdown},
               {directory.file("full"), small}};
  for (const auto& broken : cases) {
    try {
      read_text_source(broken.path, broken.options);
      ADD_FAILURE() << broken.path;
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find(broken.path), std::string::npos) << message;
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    }
  }
}

}  // namespace
}  // namespace mneme::io
