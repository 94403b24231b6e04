#include "text/unigram.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "io/check.h"

namespace mneme::text {
namespace {

// Below the least score: what SentencePiece takes off for a character that is no piece's.
constexpr float kUnknownPenalty = 10;
// What a user-defined piece scores for each byte but one: above the log probabilities of others, so
// that it is chosen always.
constexpr float kUserDefinedScore = 0.1f;

std::size_t hash_of(std::uint32_t node, std::uint8_t byte) {
  const std::uint64_t mixed = (std::uint64_t{node} << 8 | byte) * 0x9e3779b97f4a7c15;
  return static_cast<std::size_t>(mixed ^ (mixed >> 32));
}

std::size_t character_bytes(std::string_view text, std::size_t at) {
  std::size_t end = at + 1;
  while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) ++end;
  return end - at;
}

}  // namespace

Unigram::Unigram(const std::vector<UnigramPiece>& pieces)
    : piece_at_(1, kUnknown), scores_(pieces.size()), is_user_defined_(pieces.size()) {
  std::size_t bytes = 0;
  float least = std::numeric_limits<float>::max();
  for (const UnigramPiece& piece : pieces) {
    bytes += piece.text.size();
    if (piece.kind == UnigramPiece::Kind::kNormal) least = std::min(least, piece.score);
  }
  unknown_score_ = least - kUnknownPenalty;
  edges_.resize(std::bit_ceil(2 * bytes + 2));
  for (std::size_t id = 0; id < pieces.size(); ++id) {
    scores_[id] = pieces[id].score;
    is_user_defined_[id] = pieces[id].kind == UnigramPiece::Kind::kUserDefined;
    if (pieces[id].kind == UnigramPiece::Kind::kOther || pieces[id].text.empty()) continue;
    std::uint32_t node = 0;
    for (const char byte : pieces[id].text) node = add_edge(node, static_cast<std::uint8_t>(byte));
    piece_at_[node] = static_cast<std::int32_t>(id);
  }
}

std::uint32_t Unigram::next(std::uint32_t node, std::uint8_t byte) const {
  const std::size_t mask = edges_.size() - 1;
  std::size_t at = hash_of(node, byte) & mask;
  while (edges_[at].node != 0 && (edges_[at].from != node || edges_[at].byte != byte)) {
    at = (at + 1) & mask;
  }
  return edges_[at].node;
}

std::uint32_t Unigram::add_edge(std::uint32_t node, std::uint8_t byte) {
  if (const std::uint32_t found = next(node, byte)) return found;
  const std::size_t mask = edges_.size() - 1;
  std::size_t at = hash_of(node, byte) & mask;
  while (edges_[at].node != 0) at = (at + 1) & mask;
  edges_[at] = {static_cast<std::uint32_t>(piece_at_.size()), node, byte};
  piece_at_.push_back(kUnknown);
  return edges_[at].node;
}

void Unigram::split(std::string_view text, Scratch& scratch, std::vector<Part>& parts) const {
  auto& ends = scratch.ends_;
  ends.assign(text.size() + 1, {});
  const auto offer = [&](std::size_t begin, std::size_t end, std::int32_t id, float score) {
    Scratch::Best& best = ends[end];
    const float sum = ends[begin].score + score;
    if (best.begin >= 0 && !(sum > best.score)) return;
    best = {sum, static_cast<std::int64_t>(begin), id};
  };
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t character = character_bytes(text, begin);
    bool is_known = false;  // the character alone is a piece
    std::uint32_t node = 0;
    for (std::size_t end = begin; end < text.size();) {
      node = next(node, static_cast<std::uint8_t>(text[end++]));
      if (node == 0) break;
      const std::int32_t id = piece_at_[node];
      if (id == kUnknown) continue;
      const auto length = static_cast<float>(end - begin);
      offer(begin, end, id,
            is_user_defined_[static_cast<std::size_t>(id)] ? (length - 1) * kUserDefinedScore
                                                           : scores_[static_cast<std::size_t>(id)]);
      is_known = is_known || end - begin == character;
    }
    if (!is_known) offer(begin, begin + character, kUnknown, unknown_score_);
    begin += character;
  }
  const std::size_t first = parts.size();
  for (std::size_t end = text.size(); end > 0;) {
    const Scratch::Best& best = ends[end];
    CHECK(best.begin >= 0);
    parts.push_back({static_cast<std::size_t>(best.begin), end, best.id});
    end = static_cast<std::size_t>(best.begin);
  }
  std::reverse(parts.begin() + static_cast<std::ptrdiff_t>(first), parts.end());
}

}  // namespace mneme::text
