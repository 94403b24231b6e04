#include "text/byte_pairs.h"

#include <algorithm>
#include <bit>

#include "io/check.h"

namespace mneme::text {
namespace {

// Up to here looking at all pairs for each merge is faster than a queue.
constexpr std::size_t kShortPiece = 48;
constexpr std::uint32_t kEnd = 0xffffffff;

std::size_t hash_of(std::int32_t left, std::int32_t right) {
  const std::uint64_t pair =
      std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  const std::uint64_t mixed = pair * 0x9e3779b97f4a7c15;
  return static_cast<std::size_t>(mixed ^ (mixed >> 32));
}

}  // namespace

BytePairs::BytePairs(std::span<const Merge> merges,
                     const std::array<std::int32_t, 256>& byte_tokens)
    : byte_tokens_(byte_tokens), table_(std::bit_ceil(2 * merges.size() + 2)) {
  mask_ = table_.size() - 1;
  for (const Merge& merge : merges) {
    std::size_t at = hash_of(merge.left, merge.right) & mask_;
    while (table_[at].left != kNothing &&
           (table_[at].left != merge.left || table_[at].right != merge.right)) {
      at = (at + 1) & mask_;
    }
    table_[at] = {merge.left, merge.right, merge.rank, merge.merged};
  }
}

const BytePairs::Entry& BytePairs::find(std::int32_t left, std::int32_t right) const {
  std::size_t at = hash_of(left, right) & mask_;
  while (table_[at].left != kNothing && (table_[at].left != left || table_[at].right != right)) {
    at = (at + 1) & mask_;
  }
  return table_[at];
}

// Looks up the pair that the symbol at `at` makes with the next one.
void BytePairs::rate(std::vector<Scratch::Symbol>& symbols, std::uint32_t at) const {
  Scratch::Symbol& symbol = symbols[at];
  if (symbol.next == kEnd) {
    symbol.rank = kNoRank;
    return;
  }
  const Entry& entry = find(symbol.token, symbols[symbol.next].token);
  symbol.rank = entry.rank;
  symbol.merged = entry.merged;
}

void BytePairs::encode(std::string_view piece, Scratch& scratch,
                       std::vector<std::int32_t>& out) const {
  CHECK(piece.size() < (std::size_t{1} << 31));
  auto& symbols = scratch.symbols_;
  symbols.clear();
  for (const char byte : piece) {
    const std::int32_t token = byte_tokens_[static_cast<unsigned char>(byte)];
    if (token == kNothing) continue;
    const auto at = static_cast<std::uint32_t>(symbols.size());
    symbols.push_back({token, kNoRank, kNothing, at + 1, at == 0 ? kEnd : at - 1});
  }
  if (symbols.empty()) return;
  symbols.back().next = kEnd;
  for (std::uint32_t at = 0; at < symbols.size(); ++at) rate(symbols, at);
  symbols.size() <= kShortPiece ? encode_short(scratch, out) : encode_long(scratch, out);
}

void BytePairs::encode_short(Scratch& scratch, std::vector<std::int32_t>& out) const {
  auto& symbols = scratch.symbols_;
  std::size_t count = symbols.size();
  while (true) {
    std::size_t best = 0;
    for (std::size_t at = 1; at < count; ++at) {
      if (symbols[at].rank < symbols[best].rank) best = at;
    }
    if (symbols[best].rank == kNoRank) break;
    // Symbols stay side by side here, so that `next` is the neighbour's index.
    symbols[best].token = symbols[best].merged;
    std::move(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 2,
              symbols.begin() + static_cast<std::ptrdiff_t>(count),
              symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    --count;
    const auto pair_rank = [&](std::size_t at) {
      if (at + 1 >= count) {
        symbols[at].rank = kNoRank;
        return;
      }
      const Entry& entry = find(symbols[at].token, symbols[at + 1].token);
      symbols[at].rank = entry.rank;
      symbols[at].merged = entry.merged;
    };
    pair_rank(best);
    if (best > 0) pair_rank(best - 1);
  }
  for (std::size_t at = 0; at < count; ++at) out.push_back(symbols[at].token);
}

void BytePairs::encode_long(Scratch& scratch, std::vector<std::int32_t>& out) const {
  auto& symbols = scratch.symbols_;
  auto& queue = scratch.queue_;
  const auto is_later = [](const Scratch::Candidate& a, const Scratch::Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.at > b.at;
  };
  queue.clear();
  const auto candidate = [&](std::uint32_t at) {
    return Scratch::Candidate{symbols[at].rank, at, symbols[at].token,
                              symbols[symbols[at].next].token};
  };
  for (std::uint32_t at = 0; at < symbols.size(); ++at) {
    if (symbols[at].rank != kNoRank) queue.push_back(candidate(at));
  }
  std::ranges::make_heap(queue, is_later);
  while (!queue.empty()) {
    std::ranges::pop_heap(queue, is_later);
    const Scratch::Candidate best = queue.back();
    queue.pop_back();
    Scratch::Symbol& symbol = symbols[best.at];
    // A symbol that was joined to its left neighbour has no token any more.
    if (symbol.token != best.left || symbol.next == kEnd ||
        symbols[symbol.next].token != best.right) {
      continue;
    }
    const std::uint32_t gone = symbol.next;
    symbol.token = symbol.merged;
    symbol.next = symbols[gone].next;
    symbols[gone].token = kNothing;
    if (symbol.next != kEnd) symbols[symbol.next].previous = best.at;
    for (const std::uint32_t at : {best.at, symbol.previous}) {
      if (at == kEnd) continue;
      rate(symbols, at);
      if (symbols[at].rank == kNoRank) continue;
      queue.push_back(candidate(at));
      std::ranges::push_heap(queue, is_later);
    }
  }
  for (std::uint32_t at = 0; at != kEnd; at = symbols[at].next) out.push_back(symbols[at].token);
}

}  // namespace mneme::text
