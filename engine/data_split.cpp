#include "engine/data_split.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "io/check.h"

namespace mneme::engine {
namespace {

constexpr std::uint64_t kBlockTokens = 4096;
constexpr std::uint64_t kLeastBlocks = 16;  // as long as they have windows enough
constexpr std::uint64_t kLeastWindows = 4;  // of a block

// What of the parts lies in [begin, end).
void append_parts(const std::vector<TokenRange>& parts, std::uint64_t begin, std::uint64_t end,
                  std::vector<TokenRange>& out) {
  auto part = std::ranges::upper_bound(parts, begin, {}, &TokenRange::end);
  for (; part != parts.end() && part->begin < end; ++part) {
    const TokenRange piece{std::max(begin, part->begin), std::min(end, part->end)};
    if (piece.begin < piece.end) out.push_back(piece);
  }
}

std::uint64_t end_of(const std::vector<TokenRange>& parts) {
  return parts.empty() ? 0 : parts.back().end;
}

DataSplit split_tail(const SplitSource& source, double share, std::int64_t length) {
  const auto step = static_cast<std::uint64_t>(length);
  const Windows all(source.parts, length);
  if (all.count() < 2) return {all, {}};
  const double wanted = std::round(static_cast<double>(all.count()) * share);
  const std::uint64_t validating =
      std::clamp<std::uint64_t>(static_cast<std::uint64_t>(wanted), 1, all.count() - 1);
  // The last window of one part and the first of the other share a token, as all neighbours do.
  const std::uint64_t seam = all.position(all.count() - validating);
  const std::uint64_t train_end = all.position(all.count() - validating - 1) + step + 1;
  std::vector<TokenRange> train, validation;
  append_parts(source.parts, 0, train_end, train);
  append_parts(source.parts, seam, end_of(source.parts), validation);
  return {Windows(std::move(train), length), Windows(std::move(validation), length)};
}

// The end of a document or line that a block's begin or end moves to.
std::uint64_t moved(const SplitSource& source, std::uint64_t position, std::uint64_t reach) {
  const auto after = std::ranges::lower_bound(source.documents, position);
  std::uint64_t nearest = position + reach + 1;
  if (after != source.documents.end()) nearest = *after;
  if (after != source.documents.begin()) {
    const std::uint64_t before = *std::prev(after);
    if (nearest > position + reach || position - before < nearest - position) nearest = before;
  }
  const std::uint64_t distance = std::max(nearest, position) - std::min(nearest, position);
  return distance <= reach ? nearest : source.next_line(position, position + reach);
}

DataSplit split_spread(const SplitSource& source, double share, std::int64_t length) {
  const std::uint64_t tokens = end_of(source.parts);
  const auto validating = static_cast<std::uint64_t>(std::round(double(tokens) * share));
  const std::uint64_t least = kLeastWindows * static_cast<std::uint64_t>(length) + 1;
  const std::uint64_t wanted = std::max(least, std::min(kBlockTokens, validating / kLeastBlocks));
  const std::uint64_t blocks = std::max<std::uint64_t>(
      1, std::min(validating / wanted, (tokens - std::min(tokens, validating)) / least));
  const std::uint64_t block = std::max(validating / blocks, static_cast<std::uint64_t>(length) + 1);
  const std::uint64_t stretch = tokens / blocks;
  if (block >= stretch) return split_tail(source, share, length);
  // So little that at least half of a block, and of what lies between two, is left; none of blocks
  // that have no windows to spare.
  const std::uint64_t reach = block < least ? 0 : std::min(block, stretch - block) / 4;

  std::vector<TokenRange> train, validation;
  std::uint64_t done = 0;
  for (std::uint64_t i = 0; i < blocks; ++i) {
    const std::uint64_t begin = i * stretch + (stretch - block) / 2;
    const std::uint64_t first = moved(source, begin, reach);
    const std::uint64_t last = moved(source, begin + block, reach);
    append_parts(source.parts, done, first, train);
    append_parts(source.parts, first, last, validation);
    done = last;
  }
  append_parts(source.parts, done, tokens, train);
  DataSplit split{Windows(std::move(train), length), Windows(std::move(validation), length)};
  const bool too_short = split.train.count() == 0 || split.validation.count() == 0;
  return too_short ? split_tail(source, share, length) : split;
}

}  // namespace

Windows::Windows(std::vector<TokenRange> ranges, std::int64_t length)
    : length_(static_cast<std::uint64_t>(length)) {
  std::uint64_t count = 0;
  for (const TokenRange& range : ranges) {
    if (range.size() <= length_) continue;
    count += (range.size() - 1) / length_;
    ranges_.push_back(range);
    last_.push_back(count);
  }
}

std::uint64_t Windows::position(std::uint64_t window) const {
  CHECK(window < count());
  const auto at = std::ranges::upper_bound(last_, window) - last_.begin();
  const std::uint64_t before = at == 0 ? 0 : last_[static_cast<std::size_t>(at) - 1];
  return ranges_[static_cast<std::size_t>(at)].begin + (window - before) * length_;
}

DataSplit split_data(const SplitSource& source, ValidationSplit kind, double share,
                     std::int64_t length) {
  if (share <= 0) return {Windows(source.parts, length), {}};
  return kind == ValidationSplit::kTail ? split_tail(source, share, length)
                                        : split_spread(source, share, length);
}

}  // namespace mneme::engine
