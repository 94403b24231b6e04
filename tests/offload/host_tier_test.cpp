// The host tier's replacement: who goes first under each policy, and who is protected.
#include "offload/host_tier.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/test_backend.h"

namespace mneme::offload {
namespace {

using kernels::ReplacementKind;

class HostTierTest : public ::testing::Test {
 protected:
  kernels::Backend& backend_ = mneme::testing::test_backend();
};

TEST_F(HostTierTest, LruEvictsTheOldestArrivalFirst) {
  HostTier tier(backend_, 4 * 64, 64, ReplacementKind::kLru, 1);
  ASSERT_EQ(tier.slots(), 4u);
  for (kernels::RowId row = 0; row < 4; ++row) tier.take(row, true, 1, false, 0);
  const auto victims = tier.victims(2);
  ASSERT_EQ(victims.size(), 2u);
  EXPECT_EQ(victims[0].row, 0u);
  EXPECT_EQ(victims[1].row, 1u);
  EXPECT_TRUE(victims[0].dirty);
}

TEST_F(HostTierTest, LfuEvictsTheLeastUsedFirst) {
  HostTier tier(backend_, 4 * 64, 64, ReplacementKind::kLfu, 1);
  const std::uint32_t uses[] = {5, 1, 9, 2};
  for (kernels::RowId row = 0; row < 4; ++row) tier.take(row, false, uses[row], false, 0);
  const auto victims = tier.victims(2);
  EXPECT_EQ(victims[0].row, 1u);
  EXPECT_EQ(victims[1].row, 3u);
}

TEST_F(HostTierTest, ClockGivesReturningRowsASecondChance) {
  HostTier tier(backend_, 3 * 64, 64, ReplacementKind::kClock, 1);
  tier.take(0, false, 2, false, 0);
  tier.take(1, false, 1, false, 0);
  tier.take(2, false, 1, false, 0);
  EXPECT_EQ(tier.victims(1)[0].row, 1u);
}

TEST_F(HostTierTest, ProtectedRowsGoOnlyWhenNothingElseIsLeft) {
  HostTier tier(backend_, 3 * 64, 64, ReplacementKind::kLru, 1);
  tier.set_tick(5);
  tier.take(0, false, 1, true, 7);
  const std::uint32_t slot = tier.take(1, false, 1, false, 0);
  tier.take(2, false, 1, false, 0);
  tier.protect(slot);
  EXPECT_EQ(tier.victims(1)[0].row, 2u);
  EXPECT_EQ(tier.victims(3).size(), 3u);
  tier.set_tick(7);
  EXPECT_EQ(tier.victims(1)[0].row, 0u);
}

TEST_F(HostTierTest, RandomPicksDistinctOccupiedSlots) {
  HostTier tier(backend_, 64 * 64, 64, ReplacementKind::kRandom, 3);
  for (kernels::RowId row = 0; row < 50; ++row) tier.take(row, false, 1, false, 0);
  std::set<kernels::RowId> rows;
  for (const HostVictim& victim : tier.victims(20)) rows.insert(victim.row);
  EXPECT_EQ(rows.size(), 20u);
  EXPECT_LT(*rows.rbegin(), 50u);
  EXPECT_GT(*rows.rbegin(), 20u) << "not simply the oldest";
}

}  // namespace
}  // namespace mneme::offload
