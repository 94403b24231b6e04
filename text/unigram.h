// The most likely pieces of a text under a unigram model (Kudo 2018), as SentencePiece chooses them
// since 0.2.2. Ways to split a text are often as likely as others, and rounding decides between
// them: here sums are kept and compared in single precision, where earlier versions, Debian's among
// them, compare sums in double precision with rounded ones.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mneme::text {

// A piece of the vocabulary, by id.
struct UnigramPiece {
  enum class Kind { kNormal, kUserDefined, kOther };  // other kinds are in no text
  std::string text;
  float score = 0;  // log probability
  Kind kind = Kind::kNormal;
};

class Unigram {
 public:
  static constexpr std::int32_t kUnknown = -1;

  explicit Unigram(const std::vector<UnigramPiece>& pieces);

  struct Part {
    std::size_t begin = 0;  // bytes
    std::size_t end = 0;
    std::int32_t id = kUnknown;
  };
  // For one thread.
  class Scratch {
   private:
    friend class Unigram;
    struct Best {
      float score = 0;
      std::int64_t begin = -1;  // of the last piece; -1 where no way leads here
      std::int32_t id = kUnknown;
    };
    std::vector<Best> ends_;
  };
  // The parts of a normalized text, in order; a character that no piece holds is a part of its own.
  // REQUIRES: text is UTF-8.
  void split(std::string_view text, Scratch& scratch, std::vector<Part>& parts) const;

 private:
  // Of a trie: children are found by (node, byte) in one table.
  struct Edge {
    std::uint32_t node = 0;  // 0: no edge leads to the root
    std::uint32_t from = 0;
    std::uint8_t byte = 0;
  };
  std::uint32_t next(std::uint32_t node, std::uint8_t byte) const;
  std::uint32_t add_edge(std::uint32_t node, std::uint8_t byte);

  std::vector<Edge> edges_;             // open addressing, a power of two
  std::vector<std::int32_t> piece_at_;  // by node: the piece that ends there, or kUnknown
  std::vector<float> scores_;           // by id
  std::vector<bool> is_user_defined_;   // by id
  float unknown_score_ = 0;
};

}  // namespace mneme::text
