// A file of tokens, in any of the layouts, that is open for reading.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/megatron_layout.h"
#include "io/random_access_file.h"
#include "io/token_layout.h"
#include "io/token_type.h"

namespace mneme::io {

// Reads tokens when they are asked for, so that a file that has become shorter meanwhile is an
// Error. All functions may be called from several threads at once.
class TokenFile {
 public:
  // path: of NAME.bin. Throws Error naming the file when it is missing, holds no tokens, or its
  // length contradicts its header or its index.
  TokenFile(const std::string& path, TokenLayout layout);

  const std::string& path() const { return file_.path(); }
  std::uint64_t token_count() const { return count_; }
  // Of a token as it is stored.
  int token_bytes() const { return bytes_of(type_); }

  // The tokens from `first` on, as many as fit `out`. REQUIRES first + out.size() <= token_count().
  // Throws Error naming the file, and the position of a token that is negative or beyond int32.
  void read(std::uint64_t first, std::span<std::int32_t> out) const;
  // The same as they are stored; out: [a number of tokens * token_bytes()].
  void read_stored(std::uint64_t first, std::span<std::byte> out) const;

  // Tokens up to the end of each document that has tokens, ascending; the last is token_count().
  // Of more than `most` documents, those of every second, third ... one, and the last. None in a
  // layout that does not store them. Reads the index. REQUIRES most > 0.
  std::vector<std::uint64_t> document_ends(std::size_t most) const;

 private:
  void read_as(TokenLayout layout);

  RandomAccessFile file_;
  std::optional<MegatronIndex> index_;  // of megatron
  TokenType type_ = TokenType::kUint16;
  std::uint64_t begin_ = 0;  // of the first token, in bytes
  std::uint64_t count_ = 0;
};

}  // namespace mneme::io
