// Byte-pair encoding: bytes of a piece are joined pair by pair, the pair of the lowest rank first,
// the leftmost of equal ones first, until no pair of the table is left (Sennrich et al. 2016).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace mneme::text {

class BytePairs {
 public:
  // A pair of tokens that becomes another, in the order of ranks.
  struct Merge {
    std::int32_t left = 0;
    std::int32_t right = 0;
    std::int32_t rank = 0;
    std::int32_t merged = 0;
  };
  // What a byte is before any merge: a token, or kNothing where the byte is left out.
  static constexpr std::int32_t kNothing = -1;

  // Of two merges of the same pair the later one counts.
  BytePairs(std::span<const Merge> merges, const std::array<std::int32_t, 256>& byte_tokens);

  // For one thread.
  class Scratch {
   private:
    friend class BytePairs;
    struct Symbol {
      std::int32_t token = 0;
      std::int32_t rank = 0;  // of the pair that it makes with the next one
      std::int32_t merged = 0;
      std::uint32_t next = 0;
      std::uint32_t previous = 0;
    };
    struct Candidate {
      std::int32_t rank;
      std::uint32_t at;
      std::int32_t left, right;  // the pair, which may be gone by the time it comes up
    };
    std::vector<Symbol> symbols_;
    std::vector<Candidate> queue_;
  };

  // Appends the tokens of a piece. Takes piece.size() * log(piece.size()) steps at most. REQUIRES:
  // the piece has less than 2^31 bytes.
  void encode(std::string_view piece, Scratch& scratch, std::vector<std::int32_t>& out) const;

 private:
  static constexpr std::int32_t kNoRank = 0x7fffffff;
  struct Entry {
    std::int32_t left = kNothing;
    std::int32_t right = kNothing;
    std::int32_t rank = kNoRank;
    std::int32_t merged = kNothing;
  };
  const Entry& find(std::int32_t left, std::int32_t right) const;
  void rate(std::vector<Scratch::Symbol>& symbols, std::uint32_t at) const;
  void encode_short(Scratch& scratch, std::vector<std::int32_t>& out) const;
  void encode_long(Scratch& scratch, std::vector<std::int32_t>& out) const;

  std::array<std::int32_t, 256> byte_tokens_;
  std::vector<Entry> table_;  // open addressing, a power of two
  std::size_t mask_ = 0;
};

}  // namespace mneme::text
