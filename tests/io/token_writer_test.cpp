// Writers of files of tokens: the bytes are those that other programs write.
#include "io/token_writer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <utility>
#include <vector>

#include "io/disk.h"
#include "io/error.h"
#include "io/token_file.h"
#include "tests/io/temporary_directory.h"
#include "tests/io/token_writers.h"
#include "tests/support/error_of.h"

namespace mneme::test {
namespace {

using io::SimulatedDisk;
using io::TokenLayout;
using io::TokenWriter;
using io::TokenWriterState;
using testing::error_of;

TEST_P(TokenWriters, write_the_bytes_of_the_layout) {
  const auto disk = make_disk();
  const auto writer = io::make_token_writer(*disk, options_of(kind(), "d/tokens.bin"));
  for (const Step& step : steps()) take(*writer, step);
  EXPECT_FALSE(disk->exists("d/tokens.bin")) << "it appears when it is complete";
  EXPECT_EQ(writer->state(), (TokenWriterState{10, 4, 0}));
  writer->finish();
  expect_whole(*disk);
}

TEST_P(TokenWriters, write_any_number_of_tokens_at_once) {
  std::vector<std::int32_t> ids(1'300'000);  // more than is buffered
  std::iota(ids.begin(), ids.end(), 0);
  for (std::int32_t& id : ids) id %= kind().width == 2 ? 65'521 : 1'000'003;
  const auto disk = make_disk();
  const auto writer = io::make_token_writer(*disk, options_of(kind(), "d/tokens.bin"));
  std::span<const std::int32_t> left(ids);
  for (const std::size_t size : {std::size_t{7}, std::size_t{600'000}, std::size_t{0}}) {
    writer->append(left.first(size));
    left = left.subspan(size);
  }
  writer->append(left);
  writer->finish();  // ends the document
  EXPECT_EQ(content_of(*disk, "d"), expected_content(kind(), {ids}));
}

TEST_P(TokenWriters, take_no_id_that_does_not_fit) {
  const auto disk = make_disk();
  const auto writer = io::make_token_writer(*disk, options_of(kind(), "d/tokens.bin"));
  writer->append(std::vector<std::int32_t>{1, 2});
  std::vector<std::vector<std::int32_t>> wrong = {{5, -1}, {-2147483648}};
  if (kind().width == 2) wrong.push_back({5, 6, 65'536});
  for (const auto& ids : wrong) {
    const std::string error = error_of([&] { writer->append(ids); });
    EXPECT_NE(error.find("token " + std::to_string(ids.back()) + " at position " +
                         std::to_string(1 + ids.size())),
              std::string::npos)
        << error;
  }
  writer->append(std::vector<std::int32_t>{3});
  writer->finish();
  EXPECT_EQ(content_of(*disk, "d"), expected_content(kind(), {{1, 2, 3}}));
}

TEST_P(TokenWriters, leave_alone_what_is_there_and_leave_what_they_have_begun) {
  for (const char* name : {"tokens.bin", "tokens.bin.partial"}) {
    const auto disk = make_disk();
    const Bytes precious(5, std::byte{7});
    disk->write_file(fmt::format("d/{}", name), precious);
    EXPECT_NE(error_of([&] {
                io::make_token_writer(*disk, options_of(kind(), "d/tokens.bin"));
              }).find(name),
              std::string::npos);
    EXPECT_EQ(content_of(*disk, "d"), (std::map<std::string, Bytes>{{name, precious}}));
  }
  const auto disk = make_disk();
  io::make_token_writer(*disk, options_of(kind(), "d/tokens.bin"))
      ->append(std::vector<std::int32_t>{1});
  EXPECT_TRUE(disk->exists("d/tokens.bin.partial"));
  io::remove_partial_tokens(*disk, kind().layout, "d/tokens.bin");
  EXPECT_TRUE(disk->list("d").empty());
  io::remove_partial_tokens(*disk, kind().layout, "d/tokens.bin");  // nothing is there: no error
  go_on(*disk, std::nullopt);
  expect_whole(*disk);
  io::remove_partial_tokens(*disk, kind().layout, "d/tokens.bin");
  expect_whole(*disk);
}

TEST_P(TokenWriters, need_a_token) {
  const auto disk = make_disk();
  const auto writer = io::make_token_writer(*disk, options_of(kind(), "d/tokens.bin"));
  writer->append({});
  writer->end_document();
  EXPECT_EQ(writer->state(), TokenWriterState{}) << "there was no document";
  EXPECT_NE(error_of([&] { writer->finish(); }).find("needs at least one"), std::string::npos);
  EXPECT_FALSE(disk->exists("d/tokens.bin"));
}

INSTANTIATE_TEST_SUITE_P(AllLayouts, TokenWriters, ::testing::ValuesIn(kTokenKinds), KindName());

TEST(TokenWriter, says_where_a_file_of_llm_c_ends) {
  TemporaryDirectory directory;
  const std::string path = directory.file("tokens.bin");
  const auto real = io::make_posix_disk();
  // As if so many had been appended already: nobody waits for 4 GB.
  real->write_file(path + ".partial", {});
  std::filesystem::resize_file(path + ".partial", 1024 + 2 * 2147483640ull);
  const auto writer = io::make_token_writer(
      *real, options_of({TokenLayout::kLlmC, 2}, path, TokenWriterState{2147483640, 1, 0}));
  EXPECT_NE(error_of([&] {
              writer->append(std::vector<std::int32_t>(8, 3));
            }).find("holds at most 2147483647 tokens; start another file"),
            std::string::npos);
  writer->append(std::vector<std::int32_t>(7, 3));
  EXPECT_NE(error_of([&] { writer->append(std::vector<std::int32_t>(1, 3)); }), "");
}

TEST(TokenWriter, says_where_a_document_of_megatron_ends) {
  TemporaryDirectory directory;
  const std::string path = directory.file("tokens.bin");
  const auto disk = io::make_posix_disk();
  disk->write_file(path + ".partial", {});
  disk->write_file(path + ".lengths.partial", {});
  std::filesystem::resize_file(path + ".partial", 2 * 2147483640ull);
  const auto writer = io::make_token_writer(
      *disk,
      options_of({TokenLayout::kMegatron, 2}, path, TokenWriterState{2147483640, 0, 2147483640}));
  EXPECT_NE(error_of([&] {
              writer->append(std::vector<std::int32_t>(8, 3));
            }).find("a document holds at most 2147483647 tokens"),
            std::string::npos);
  writer->append(std::vector<std::int32_t>(7, 3));
  writer->end_document();
  writer->append(std::vector<std::int32_t>(8, 3));
  EXPECT_EQ(writer->state(), (TokenWriterState{2147483655, 1, 8}));
}

TEST(TokenWriter, knows_the_widths_and_names_of_a_layout) {
  SimulatedDisk disk;
  for (const auto& [layout, bytes, path] :
       {std::tuple(TokenLayout::kNanogpt, 4, "a.bin"), std::tuple(TokenLayout::kLlmC, 3, "a.bin"),
        std::tuple(TokenLayout::kMegatron, 8, "a.bin"), std::tuple(TokenLayout::kMegatron, 2, "a"),
        std::tuple(TokenLayout::kMegatron, 2, "a.idx")}) {
    EXPECT_NE(error_of([&] {
                io::make_token_writer(disk, options_of({layout, bytes}, path));
              }),
              "");
  }
  EXPECT_TRUE(disk.list(".").empty());
}

// The lengths of another file beside the tokens.
TEST(TokenWriter, writes_no_index_that_is_not_of_its_tokens) {
  SimulatedDisk disk;
  const TokenKind kind{TokenLayout::kMegatron, 2};
  TokenWriterState state;
  {
    const auto writer = io::make_token_writer(disk, options_of(kind, "tokens.bin"));
    writer->append(std::vector<std::int32_t>{1, 2, 3});
    writer->end_document();
    writer->sync();
    state = writer->state();
  }
  disk.corrupt("tokens.bin.lengths.partial", 0, 2);
  const auto writer = io::make_token_writer(disk, options_of(kind, "tokens.bin", state));
  EXPECT_NE(error_of([&] { writer->finish(); }).find("tokens.bin.lengths.partial"),
            std::string::npos);
  EXPECT_FALSE(disk.exists("tokens.bin"));
  EXPECT_FALSE(disk.exists("tokens.idx"));
}

// A program of its own for these layouts, in Python's standard library alone.
TEST(TokenWriter, and_reader_agree_with_a_program_in_python) {
  const std::string script = std::string(MNEME_SOURCE_DIR) + "/tests/io/token_files.py";
  TemporaryDirectory directory;
  const auto disk = io::make_posix_disk();
  disk->make_directories(directory.file("python"));
  disk->make_directories(directory.file("mneme"));
  const auto status_of = [&](const std::string& command) {
    const int status = std::system(("python3 '" + script + "' " + command).c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  const int written = status_of("write '" + directory.file("python") + "'");
  if (written == 127) {  // the shell has found no such program
    const char* required = std::getenv("MNEME_REQUIRE");
    if (required != nullptr && std::string(required).find("python") != std::string::npos) {
      FAIL() << "python3 is not there";
    }
    GTEST_SKIP() << "python3 is not there";
  }
  ASSERT_EQ(written, 0);
  for (const TokenKind& kind : kTokenKinds) {
    SCOPED_TRACE(kind.name());
    const Documents documents = example_documents(kind.width);
    const std::string name = fmt::format("/{}-{}.bin", io::name_of(kind.layout), 8 * kind.width);
    const io::TokenFile tokens(directory.file("python") + name, kind.layout);
    std::vector<std::int32_t> found(tokens.token_count());
    tokens.read(0, found);
    EXPECT_EQ(found, joined(documents));
    const auto writer =
        io::make_token_writer(*disk, options_of(kind, directory.file("mneme") + name));
    for (const Step& step : steps_of(documents)) take(*writer, step);
    writer->finish();
  }
  EXPECT_EQ(content_of(*disk, directory.file("mneme")),
            content_of(*disk, directory.file("python")));
  EXPECT_EQ(status_of("check '" + directory.file("mneme") + "'"), 0);
}

}  // namespace
}  // namespace mneme::test
