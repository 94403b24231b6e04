// Token shards and text: what is there is read, what is broken is an error of one line.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <vector>

#include "io/disk.h"
#include "io/error.h"
#include "io/text_source.h"
#include "io/token_shards.h"
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

std::vector<std::uint16_t> numbers(std::size_t count) {
  std::vector<std::uint16_t> tokens(count);
  std::iota(tokens.begin(), tokens.end(), std::uint16_t{0});
  return tokens;
}

TEST(TokenShards, tokens_come_back_as_written) {
  test::TemporaryDirectory directory;
  const std::string path = directory.file("shard.bin");
  const auto tokens = numbers(1'100'000);  // more than the writer buffers, with all values
  TokenShardWriter writer(path);
  writer.append(std::span(tokens).first(7));
  writer.append(std::span(tokens).subspan(7));
  EXPECT_EQ(writer.token_count(), tokens.size());
  EXPECT_FALSE(std::filesystem::exists(path)) << "it appears when it is complete";
  writer.finish();

  const TokenShard shard(path);
  ASSERT_EQ(shard.token_count(), tokens.size());
  std::vector<std::uint16_t> found(tokens.size());
  shard.read(0, std::span(found).first(5));
  shard.read(5, std::span(found).subspan(5));
  EXPECT_EQ(found, tokens);
  EXPECT_EQ(std::filesystem::file_size(path), 1024 + 2 * tokens.size());
  std::int32_t header[3] = {};
  const auto bytes = make_posix_disk()->read_file(path, 1 << 24);
  std::memcpy(header, bytes.data(), sizeof(header));
  EXPECT_EQ(header[0], 20240520);
  EXPECT_EQ(header[1], 1);
  EXPECT_EQ(header[2], static_cast<std::int32_t>(tokens.size()));
}

TEST(TokenShards, an_abandoned_shard_leaves_nothing) {
  test::TemporaryDirectory directory;
  { TokenShardWriter(directory.file("shard.bin")).append(numbers(5)); }
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
  TokenShardWriter empty(directory.file("shard.bin"));
  EXPECT_THROW(empty.finish(), Error) << "a shard without tokens is of no use";
}

TEST(TokenShards, a_writer_leaves_a_file_alone_that_is_not_its_own) {
  test::TemporaryDirectory directory;
  const auto disk = make_posix_disk();
  const std::string partial = directory.file("shard.bin.partial");
  disk->write_file(partial, std::as_bytes(std::span("precious")));
  EXPECT_THROW(TokenShardWriter(directory.file("shard.bin")), Error);
  EXPECT_EQ(disk->read_file(partial, 100).size(), sizeof("precious"));
}

TEST(TokenShards, a_shard_that_becomes_shorter_in_use_is_an_error_naming_it) {
  test::TemporaryDirectory directory;
  const std::string path = directory.file("shard.bin");
  TokenShardWriter writer(path);
  writer.append(numbers(10'000));
  writer.finish();
  const TokenShard shard(path);
  std::filesystem::resize_file(path, 1024 + 2 * 100 + 1);
  std::vector<std::uint16_t> out(100);
  shard.read(0, out);
  EXPECT_EQ(out, numbers(100));
  for (const std::uint64_t first : {1u, 100u, 9'900u}) {
    try {
      shard.read(first, out);
      ADD_FAILURE() << "read tokens that are gone";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    }
  }
}

TEST(TokenShards, a_broken_shard_is_an_error_naming_it) {
  test::TemporaryDirectory directory;
  const std::string path = directory.file("shard.bin");
  TokenShardWriter writer(path);
  writer.append(numbers(100));
  writer.finish();
  const auto disk = make_posix_disk();
  const auto good = disk->read_file(path, 1 << 20);
  const auto expect_error = [&](const char* what) {
    try {
      TokenShard shard(path);
      ADD_FAILURE() << what;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    }
  };
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{1023}, std::size_t{1024}, good.size() - 1}) {
    disk->write_file(path, std::span(good).first(bytes));
    expect_error("cut short");
  }
  auto longer = good;
  longer.resize(good.size() + 2);
  disk->write_file(path, longer);
  expect_error("trailing bytes");
  for (const std::size_t field : {0, 1, 2}) {
    for (const std::int32_t value : {0, -1, 2147483647}) {
      auto broken = good;
      std::memcpy(broken.data() + field * 4, &value, 4);
      disk->write_file(path, broken);
      expect_error("wrong header");
    }
  }
  disk->remove(path);
  expect_error("missing");
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
