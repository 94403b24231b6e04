// Files of tokens in the layout of Megatron-LM: NAME.bin holds tokens and nothing else, NAME.idx
// what they are:
//
//   bytes                what
//   9                    "MMIDIDX", two zeros
//   8                    version, 1
//   1                    type of a token: 1 uint8, 2 int8, 3 int16, 4 int32, 5 int64, 8 uint16
//                        (6 and 7, float64 and float32, are no tokens)
//   8                    sequences
//   8                    document indices: documents + 1
//   4 * sequences        tokens of each sequence, int32
//   8 * sequences        where each begins in NAME.bin, in bytes, int64
//   8 * (documents + 1)  the sequence that each document begins with, int64; then `sequences`
//
// Sequences lie behind each other without gaps. What mneme writes has a sequence for a document.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/random_access_file.h"
#include "io/token_type.h"

namespace mneme::io {

inline constexpr std::uint64_t kMegatronHeaderBytes = 34;
using MegatronHeader = std::array<std::byte, kMegatronHeaderBytes>;

// NAME.idx of NAME.bin.
std::string megatron_index_path(const std::string& path);
// Whether there is an index beside a NAME.bin, of which the first bytes are those of one.
bool has_megatron_index(const std::string& path);

// REQUIRES: kUint16 or kInt32, one sequence for a document.
MegatronHeader make_megatron_header(TokenType type, std::uint64_t documents);

// An index that is open for reading. It is read through in blocks and never whole, since it may be
// of many millions of documents.
class MegatronIndex {
 public:
  // path: of NAME.bin, which has data_bytes bytes. Reads the whole index once. Throws Error naming
  // NAME.idx where it is none, is cut short, or contradicts itself or NAME.bin, and where there are
  // no tokens.
  MegatronIndex(const std::string& path, std::uint64_t data_bytes);

  TokenType type() const { return type_; }
  std::uint64_t token_count() const { return tokens_; }
  // As TokenFile::document_ends.
  std::vector<std::uint64_t> document_ends(std::size_t most) const;

 private:
  void read_header();
  void check_sequences(std::uint64_t data_bytes);
  void check_documents();
  // Calls body(end) for each document that has tokens, in order; end: tokens up to its end.
  template <typename Body>
  void for_each_document(const Body& body) const;

  std::uint64_t pointers_offset() const { return kMegatronHeaderBytes + 4 * sequences_; }
  std::uint64_t documents_offset() const { return pointers_offset() + 8 * sequences_; }

  RandomAccessFile file_;
  TokenType type_ = TokenType::kUint16;
  std::uint64_t sequences_ = 0;
  std::uint64_t indices_ = 0;    // of documents: one more than there are
  std::uint64_t tokens_ = 0;     // of all sequences
  std::uint64_t documents_ = 0;  // that have tokens
};

}  // namespace mneme::io
