// Which tokens are new, by hand.
#include "memory/prediction/token_novelty.h"

#include <gtest/gtest.h>

namespace mneme::memory {
namespace {

using Indices = std::vector<std::int32_t>;

TEST(TokenNoveltyTest, PrefersTokensThatWereSeenLongestAgo) {
  TokenNovelty novelty(4);
  EXPECT_EQ(novelty.take(Indices{1, 2, 3, 4}, 4), (Indices{0, 1, 2, 3}));
  EXPECT_EQ(novelty.take(Indices{5, 6, 7, 8}, 2), (Indices{0, 1}));
  // Seen, longest ago first: 1 2 3 4, then 5 6; never: what comes behind 5 6 7 here.
  const Indices mixed = {5, 6, 7, 9, 1, 2, 3, 4};
  EXPECT_EQ(novelty.take(mixed, 1), (Indices{3}));
  // 5 behind 2 3 was never seen, 8 behind 6 7 in the second batch, all others in the third.
  EXPECT_EQ(novelty.take(Indices{1, 2, 3, 5, 5, 6, 7, 8}, 3), (Indices{0, 3, 7}));
  EXPECT_TRUE(novelty.take(mixed, 0).empty());
}

}  // namespace
}  // namespace mneme::memory
