// What validates comes from everywhere in the data, and training never sees it.
#include "engine/data_split.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

namespace mneme::engine {
namespace {

constexpr std::int64_t kLength = 128;

// One text in which a line ends after each `line` tokens.
SplitSource text_of(std::uint64_t tokens, std::uint64_t line = 60) {
  SplitSource source;
  source.parts = {{0, tokens}};
  source.documents = {tokens};
  source.next_line = [line](std::uint64_t after, std::uint64_t limit) {
    const std::uint64_t next = (after / line + 1) * line;
    return next <= limit ? next : after;
  };
  return source;
}

std::uint64_t tokens_of(const Windows& windows) {
  std::uint64_t sum = 0;
  for (const TokenRange& range : windows.ranges()) sum += range.size();
  return sum;
}

// Windows lie in their ranges, and no token is in both parts.
void expect_apart(const DataSplit& split, std::int64_t length) {
  std::vector<TokenRange> all = split.train.ranges();
  all.insert(all.end(), split.validation.ranges().begin(), split.validation.ranges().end());
  std::ranges::sort(all, {}, &TokenRange::begin);
  for (std::size_t i = 1; i < all.size(); ++i) EXPECT_LE(all[i - 1].end, all[i].begin);
  for (const Windows* windows : {&split.train, &split.validation}) {
    for (std::uint64_t window = 0; window < windows->count(); ++window) {
      const std::uint64_t begin = windows->position(window);
      const std::uint64_t end = begin + static_cast<std::uint64_t>(length) + 1;
      EXPECT_TRUE(std::ranges::any_of(windows->ranges(), [&](const TokenRange& range) {
        return begin >= range.begin && end <= range.end;
      }));
    }
  }
}

TEST(Windows, OverlapByOneTokenAndStayInTheirRange) {
  const Windows windows({{10, 27}, {30, 38}, {40, 49}}, 8);
  ASSERT_EQ(windows.count(), 3u);  // 17 tokens are two windows of 8 + 1, 8 are none, 9 are one
  EXPECT_EQ(windows.position(0), 10u);
  EXPECT_EQ(windows.position(1), 18u);
  EXPECT_EQ(windows.position(2), 40u);
  EXPECT_EQ(Windows().count(), 0u);
}

TEST(SpreadSplit, TakesTheShareInBlocksFromAllOverTheData) {
  for (const std::uint64_t tokens : {20'000ull, 300'000ull, 5'000'000ull}) {
    for (const double share : {0.01, 0.05, 0.3, 0.5, 0.9}) {
      SCOPED_TRACE(::testing::Message() << tokens << " tokens, share " << share);
      const DataSplit split = split_data(text_of(tokens), ValidationSplit::kSpread, share, kLength);
      if (tokens < 1'000'000) expect_apart(split, kLength);
      const double found = double(tokens_of(split.validation)) / double(tokens);
      EXPECT_NEAR(found, share, 0.2 * share);
      const auto& blocks = split.validation.ranges();
      if (tokens * share < 20 * 4 * kLength) continue;
      ASSERT_GE(blocks.size(), tokens * std::min(share, 1 - share) > 20 * 4 * kLength ? 15u : 1u);
      // No stretch of the data is without one.
      std::uint64_t longest = blocks.front().begin;
      for (std::size_t i = 1; i < blocks.size(); ++i) {
        longest = std::max(longest, blocks[i].begin - blocks[i - 1].end);
      }
      EXPECT_LT(longest, 2 * tokens / blocks.size());
    }
  }
}

TEST(SpreadSplit, BlocksBeginWithDocumentsOrLinesWhereOnesAreNear) {
  SplitSource source = text_of(1'000'000);
  const DataSplit lines = split_data(source, ValidationSplit::kSpread, 0.05, kLength);
  for (const TokenRange& block : lines.validation.ranges()) {
    EXPECT_EQ(block.begin % 60, 0u);
    EXPECT_EQ(block.end % 60, 0u);
  }
  // Documents that are shorter than half of a block are in one part as a whole.
  source.documents.clear();
  for (std::uint64_t end = 0; end < 1'000'000; source.documents.push_back(end)) {
    end = std::min<std::uint64_t>(end + 300 + end % 701, 1'000'000);
  }
  const DataSplit whole = split_data(source, ValidationSplit::kSpread, 0.05, kLength);
  for (const TokenRange& block : whole.validation.ranges()) {
    EXPECT_TRUE(std::ranges::binary_search(source.documents, block.begin)) << block.begin;
    EXPECT_TRUE(std::ranges::binary_search(source.documents, block.end)) << block.end;
  }
}

TEST(SpreadSplit, EveryLongDocumentGivesItsShare) {
  SplitSource source = text_of(3'000'000);
  source.documents = {1'000'000, 1'200'000, 3'000'000};
  const DataSplit split = split_data(source, ValidationSplit::kSpread, 0.05, kLength);
  std::uint64_t begin = 0;
  for (const std::uint64_t end : source.documents) {
    std::uint64_t inside = 0;
    for (const TokenRange& block : split.validation.ranges()) {
      const std::uint64_t first = std::max(begin, block.begin);
      inside += std::max(first, std::min(end, block.end)) - first;
    }
    EXPECT_NEAR(double(inside) / double(end - begin), 0.05, 0.01) << "document up to " << end;
    begin = end;
  }
}

TEST(SpreadSplit, BlocksHoldWindowsOfAnyLength) {
  for (const std::int64_t length : {1, 16, 1000, 4096, 30'000}) {
    SCOPED_TRACE(length);
    const DataSplit split = split_data(text_of(1'000'000), ValidationSplit::kSpread, 0.1, length);
    const double windows = 1e6 / double(length);
    EXPECT_GE(double(split.validation.count()), std::max(1.0, 0.05 * windows - 1));
    EXPECT_GE(double(split.train.count()), 0.75 * windows - 2);
  }
}

TEST(SpreadSplit, DataTooShortForItIsSplitAsWithTail) {
  for (std::uint64_t tokens = 17; tokens < 200; ++tokens) {
    for (const double share : {0.05, 0.5, 0.9}) {
      const DataSplit spread = split_data(text_of(tokens), ValidationSplit::kSpread, share, 8);
      EXPECT_GE(spread.train.count(), 1u) << tokens;
      EXPECT_GE(spread.validation.count(), 1u) << tokens;
    }
  }
  const DataSplit split = split_data(text_of(17), ValidationSplit::kSpread, 0.05, 8);
  EXPECT_EQ(split.validation.position(0), 8u);
  EXPECT_EQ(split_data(text_of(16), ValidationSplit::kSpread, 0.05, 8).validation.count(), 0u);
  EXPECT_EQ(split_data(text_of(0), ValidationSplit::kSpread, 0.05, 8).train.count(), 0u);
}

TEST(SpreadSplit, NoWindowCrossesPartsOfAnyLength) {
  std::mt19937 random(3);
  for (int attempt = 0; attempt < 50; ++attempt) {
    SplitSource source = text_of(0);
    std::uint64_t end = 0;
    source.parts.clear();
    source.documents.clear();
    for (int i = 0; i < 20; ++i) {
      const std::uint64_t begin = end;
      end += 1 + random() % 400;
      source.parts.push_back({begin, end});
      source.documents.push_back(end);
    }
    for (const ValidationSplit kind : {ValidationSplit::kSpread, ValidationSplit::kTail}) {
      const DataSplit split = split_data(source, kind, 0.2, 16);
      if (kind == ValidationSplit::kSpread) expect_apart(split, 16);
      for (const Windows* windows : {&split.train, &split.validation}) {
        for (std::uint64_t window = 0; window < windows->count(); ++window) {
          const std::uint64_t first = windows->position(window);
          EXPECT_TRUE(std::ranges::any_of(source.parts, [&](const TokenRange& part) {
            return first >= part.begin && first + 17 <= part.end;
          }));
        }
      }
    }
  }
}

// Runs of earlier versions go on with the windows that they were started with.
TEST(TailSplit, IsTheLastWindowsOfAll) {
  std::mt19937 random(5);
  for (int attempt = 0; attempt < 50; ++attempt) {
    SplitSource source = text_of(0);
    source.parts.clear();
    std::vector<std::uint64_t> expected;
    std::uint64_t end = 0;
    for (int i = 0; i < 5; ++i) {
      const std::uint64_t begin = end;
      end += 1 + random() % 100;
      source.parts.push_back({begin, end});
      for (std::uint64_t first = begin; first + 9 <= end; first += 8) expected.push_back(first);
    }
    if (expected.size() < 2) continue;
    const double wanted = std::round(double(expected.size()) * 0.3);
    const auto validating = std::clamp<std::size_t>(std::size_t(wanted), 1, expected.size() - 1);
    const DataSplit split = split_data(source, ValidationSplit::kTail, 0.3, 8);
    std::vector<std::uint64_t> found;
    for (const Windows* windows : {&split.train, &split.validation}) {
      for (std::uint64_t i = 0; i < windows->count(); ++i) found.push_back(windows->position(i));
    }
    EXPECT_EQ(found, expected);
    EXPECT_EQ(split.validation.count(), validating);
  }
}

}  // namespace
}  // namespace mneme::engine
