// Token shards in the layout of llm.c: a header of 256 int32 (magic 20240520, version 1, count),
// then `count` uint16 tokens, little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/posix_file.h"

namespace mneme::io {

// Whether a file begins as a token shard does. False for what is no regular file. Throws Error when
// it cannot be read.
bool is_token_shard(const std::string& path);

// A shard that is open for reading. Its file is read when tokens are asked for, so that one that
// has become shorter meanwhile is an Error and not the end of the program.
class TokenShard {
 public:
  // Throws Error when the file is missing, empty, or its length contradicts its header.
  explicit TokenShard(const std::string& path);

  const std::string& path() const { return path_; }
  std::uint64_t token_count() const { return count_; }
  // The tokens from `first` on, as many as fit `out`. REQUIRES first + out.size() <= token_count().
  // Throws Error naming the file. May be called from several threads at once.
  void read(std::uint64_t first, std::span<std::uint16_t> out) const;

 private:
  std::string path_;
  Descriptor file_;
  std::uint64_t count_ = 0;
};

// Writes a shard. It appears under its path in finish(), complete and synced; until then it is
// `path`.partial.
class TokenShardWriter {
 public:
  // The header's count is an int32.
  static constexpr std::uint64_t kMaxTokens = 2147483647;

  explicit TokenShardWriter(const std::string& path);
  // Removes the partial file of a shard that was not finished.
  ~TokenShardWriter();
  TokenShardWriter(const TokenShardWriter&) = delete;
  TokenShardWriter& operator=(const TokenShardWriter&) = delete;

  // Throws Error beyond kMaxTokens and on a full disk.
  void append(std::span<const std::uint16_t> tokens);
  std::uint64_t token_count() const { return count_; }
  void finish();

 private:
  void write(const void* data, std::size_t bytes, std::uint64_t offset);
  void flush();

  std::string path_;
  std::string partial_path_;
  Descriptor file_;
  std::vector<std::uint16_t> buffer_;
  std::uint64_t count_ = 0;    // tokens appended
  std::uint64_t flushed_ = 0;  // tokens in the file
  bool finished_ = false;
};

}  // namespace mneme::io
