// The device tier's step plan against plain models of each policy.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <set>

#include "kernels/use_history.h"
#include "tests/kernels/test_tiers.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

using kernels::kNoSlot;
using kernels::Place;
using kernels::ReplacementKind;
using kernels::RowId;
using kernels::SlotId;

// Rows in the slots of a device tier, without a host tier.
class Plan {
 public:
  Plan(kernels::Backend& backend, std::uint32_t rows, std::uint32_t slots,
       const OptionalArrays& arrays = {})
      : tiers_(backend, rows, slots, 0, arrays) {}

  const kernels::SlotTable& table() const { return tiers_.device(); }
  TestTiers& tiers() { return tiers_; }

  // Binds rows to the next free slots, in the order given.
  std::vector<SlotId> bind(const std::vector<RowId>& rows, std::uint32_t counter,
                           std::uint32_t step = 0) {
    std::vector<std::uint32_t> all(rows.size());
    std::iota(all.begin(), all.end(), 0u);
    const std::vector<SlotId> nowhere(rows.size(), kNoSlot);
    return tiers_.bind(rows, nowhere, all, {.use_counter = counter, .step_used = step}).slots;
  }
  void mark(const std::vector<SlotId>& slots, const kernels::MarkUsedArgs& args) {
    tiers_.mark(table(), slots, args);
  }
  // The victims' slots become free.
  TestTiers::Victims select(const kernels::SelectVictimsArgs& args) {
    TestTiers::Victims victims = tiers_.select(table(), args, &hand_);
    tiers_.release(table(), victims.slots);
    return victims;
  }

 private:
  TestTiers tiers_;
  std::uint32_t hand_ = 0;
};

class Residency : public ::testing::TestWithParam<TestBackend> {};

INSTANTIATE_TEST_SUITE_P(Backends, Residency, ::testing::ValuesIn(backends_under_test()),
                         backend_name);

TEST_P(Residency, DirtySlotsAreListedUntilACheckpointTakesThem) {
  kernels::Backend& backend = shared_backend(GetParam());
  Plan plan(backend, 100, 8);
  const auto dirty = [&] { return plan.tiers().dirty(plan.table()); };
  plan.bind({10, 11, 60, 12, 70, 13, 50}, 1);
  plan.mark({6, kNoSlot, 2}, {.use_counter = 1, .step = 1, .dirty = true});
  EXPECT_EQ(dirty(), (std::vector<std::pair<SlotId, RowId>>{{2, 60}, {6, 50}}));
  const kernels::Location nowhere = location_of(Place::kUntouched);
  EXPECT_EQ(plan.tiers().take_unsaved({50}), (std::vector{nowhere})) << "no checkpoint has begun";
  plan.tiers().mark_unsaved(plan.table());
  // Row 50 became dirty before the checkpoint, row 10 after it; row 99 is nowhere.
  plan.mark({0}, {.use_counter = 2, .step = 2, .dirty = true});
  const std::vector expected{location_of(Place::kDevice, 6), nowhere, nowhere};
  EXPECT_EQ(plan.tiers().take_unsaved({50, 10, 99}), expected);
  EXPECT_EQ(plan.tiers().take_unsaved({50}), (std::vector{nowhere})) << "it was taken";
  EXPECT_EQ(dirty(), (std::vector<std::pair<SlotId, RowId>>{{0, 10}, {2, 60}}));
  EXPECT_EQ(plan.table().state[6], kernels::kOnDisk);
  EXPECT_EQ(plan.table().state[2], kernels::kDirty | kernels::kUnsaved);
  EXPECT_EQ(plan.table().state[0], kernels::kDirty);
}

TEST_P(Residency, VictimsAreUnboundAndKeepWhatTheirStateSays) {
  kernels::Backend& backend = shared_backend(GetParam());
  Plan plan(backend, 100, 4);
  plan.tiers().place_on_disk({13});
  plan.bind({10, 11, 12, 13}, 1);
  plan.mark({1}, {.use_counter = 3, .step = 1, .lease = false, .dirty = true});
  plan.mark({0}, {.use_counter = 4, .step = 1, .lease = false});
  const auto victims = plan.tiers().select(
      plan.table(), {.wanted = 3, .use_counter = 4, .step = 2, .first_live_lease = 100});
  EXPECT_EQ(victims.slots, (std::vector<SlotId>{2, 3, 1}));
  EXPECT_EQ(victims.rows, (std::vector<RowId>{12, 13, 11}));
  EXPECT_EQ(victims.state, (std::vector<std::uint8_t>{0, kernels::kOnDisk, kernels::kDirty}));
  const kernels::Location on_disk = location_of(kernels::Place::kDisk);
  const kernels::Location used = kernels::use_history::on_disk({1, plan.table().frequency[1]});
  EXPECT_EQ(plan.tiers().locate({10, 11, 12, 13}),
            (std::vector<kernels::Location>{location_of(kernels::Place::kDevice, 0), used,
                                            location_of(kernels::Place::kUntouched), on_disk}));
  EXPECT_EQ(plan.table().occupied[1], 0);
  EXPECT_EQ(plan.table().totals->free, 0u) << "victims are not free yet";
  EXPECT_EQ(plan.table().totals->dropped, 0u);
}

TEST_P(Residency, LeasedSlotsStayAndSlotsOfThisStepGoLast) {
  kernels::Backend& backend = shared_backend(GetParam());
  for (const auto kind :
       {ReplacementKind::kLru, ReplacementKind::kLfu, ReplacementKind::kClock,
        ReplacementKind::kSieve, ReplacementKind::kStaticHot, ReplacementKind::kRandom}) {
    SCOPED_TRACE(static_cast<int>(kind));
    Plan plan(backend, 100, 6, {.uses = true});
    plan.bind({0, 1, 2, 3, 4, 5}, 1);
    plan.mark({0, 1}, {.use_counter = 7, .step = 3, .lease = true});   // leased
    plan.mark({2, 3}, {.use_counter = 6, .step = 3, .lease = false});  // of this step
    plan.mark({4, 5}, {.use_counter = 8, .step = 2, .lease = false});
    plan.mark({4, 5}, {.use_counter = 9, .step = 2, .lease = false});
    const kernels::SelectVictimsArgs args{
        .kind = kind, .wanted = 3, .use_counter = 10, .step = 3, .first_live_lease = 7, .seed = 5};
    const auto victims = plan.select(args);
    ASSERT_EQ(victims.slots.size(), 3u);
    EXPECT_EQ(std::set<SlotId>(victims.slots.begin(), victims.slots.begin() + 2),
              (std::set<SlotId>{4, 5}));
    EXPECT_TRUE(victims.slots[2] == 2 || victims.slots[2] == 3);
    const auto rest = plan.select(args);  // wants 3, but two of the three left are leased
    ASSERT_EQ(rest.slots.size(), 1u);
    EXPECT_EQ(rest.slots[0], victims.slots[2] == 2 ? 3u : 2u);
    EXPECT_TRUE(plan.select(args).slots.empty());
  }
}

TEST_P(Residency, LfuForgetsAndStaticHotDoesNot) {
  kernels::Backend& backend = shared_backend(GetParam());
  // Slot 0 is used five steps from step 1 on, slot 1 two steps, the second of them `later`.
  const auto worst = [&](ReplacementKind kind, std::uint32_t later) {
    Plan plan(backend, 10, 2, {.uses = true});
    plan.bind({1, 2}, 0);
    for (std::uint32_t step = 1; step <= 5; ++step) {
      plan.mark({0}, {.use_counter = step, .step = step, .lease = false});
    }
    for (const std::uint32_t step : {later - 1, later}) {
      plan.mark({1}, {.use_counter = step, .step = step, .lease = false});
    }
    return plan
        .select({.kind = kind,
                 .wanted = 1,
                 .use_counter = later + 1,
                 .step = later + 1,
                 .first_live_lease = 10'000})
        .slots.at(0);
  };
  EXPECT_EQ(worst(ReplacementKind::kLfu, 7), 1u);
  EXPECT_EQ(worst(ReplacementKind::kLfu, 7 + 2 * kernels::use_history::kHalfLife), 0u);
  EXPECT_EQ(worst(ReplacementKind::kStaticHot, 7), 1u);
  EXPECT_EQ(worst(ReplacementKind::kStaticHot, 7 + 2 * kernels::use_history::kHalfLife), 1u);
}

// Forward, backward and update of a step are one use.
TEST_P(Residency, LfuCountsAStepOnce) {
  kernels::Backend& backend = shared_backend(GetParam());
  Plan plan(backend, 10, 2);
  plan.bind({1, 2}, 0);
  std::uint32_t lease = 1;
  for (int pass = 0; pass < 9; ++pass) {
    plan.mark({0}, {.use_counter = ++lease, .step = 3, .lease = false});
  }
  for (std::uint32_t step = 2; step <= 3; ++step) {
    plan.mark({1}, {.use_counter = ++lease, .step = step, .lease = false});
  }
  // Both came in step 0.
  const auto kept = kernels::use_history::kept_share;
  EXPECT_EQ(plan.table().frequency[0], 1 + kept(3));
  EXPECT_EQ(plan.table().frequency[1], 1 + kept(1) * (1 + kept(2)));
}

// The rows of a step that does not fit come by in turns: those that were used last are needed last.
TEST_P(Residency, OfTheRowsOfAStepTheNewestGoFirst) {
  kernels::Backend& backend = shared_backend(GetParam());
  for (const auto kind :
       {ReplacementKind::kLru, ReplacementKind::kLfu, ReplacementKind::kStaticHot}) {
    SCOPED_TRACE(static_cast<int>(kind));
    Plan plan(backend, 100, 5, {.uses = true});
    plan.bind({0, 1, 2, 3, 4}, 1);
    for (std::uint32_t slot = 0; slot < 4; ++slot) {
      plan.mark({slot}, {.use_counter = 2 + slot, .step = 3, .lease = false});
    }
    // One was brought for the next step: it stays longest.
    plan.table().state[4] = kernels::kPrefetched;
    plan.table().step_used[4] = 4;
    const auto next = [&] {
      return plan
          .select({.kind = kind, .wanted = 1, .use_counter = 6, .step = 3, .first_live_lease = 100})
          .slots.at(0);
    };
    for (const SlotId slot : {3u, 2u, 1u, 0u, 4u}) EXPECT_EQ(next(), slot);
  }
}

TEST_P(Residency, BeladyKeepsWhatIsUsedSoonest) {
  kernels::Backend& backend = shared_backend(GetParam());
  Plan plan(backend, 8, 4);
  plan.bind({1, 3, 5, 7}, 1);
  const Pinned<std::uint32_t> next_use(backend,
                                       std::vector<std::uint32_t>{0, 30, 0, 25, 0, ~0u, 0, 40});
  const auto victims = plan.tiers().select(plan.table(), {.kind = ReplacementKind::kBelady,
                                                          .wanted = 3,
                                                          .use_counter = 2,
                                                          .step = 0,
                                                          .first_live_lease = 100,
                                                          .next_use = next_use.data(),
                                                          .now = 20});
  EXPECT_EQ(std::set<RowId>(victims.rows.begin(), victims.rows.end()), (std::set<RowId>{1, 5, 7}));
}

TEST_P(Residency, ClockGivesReferencedSlotsASecondChance) {
  kernels::Backend& backend = shared_backend(GetParam());
  Plan plan(backend, 100, 6);
  plan.bind({0, 1, 2, 3, 4, 5}, 1);
  plan.mark({0, 2, 3}, {.use_counter = 2, .step = 1, .lease = false});
  const auto next = [&](std::int64_t wanted) {
    return plan
        .select({.kind = ReplacementKind::kClock,
                 .wanted = wanted,
                 .use_counter = 3,
                 .step = 2,
                 .first_live_lease = 100})
        .slots;
  };
  EXPECT_EQ(next(2), (std::vector<SlotId>{1, 4}));  // passes and clears 0, 2, 3
  plan.bind({10, 11}, 4);                           // slots 1 and 4
  plan.mark({5}, {.use_counter = 5, .step = 1, .lease = false});
  EXPECT_EQ(next(2), (std::vector<SlotId>{0, 1}));  // passes 5, comes round
  EXPECT_EQ(next(3), (std::vector<SlotId>{2, 3, 4}));
  EXPECT_EQ(next(1), (std::vector<SlotId>{5}));
}

TEST_P(Residency, SieveSweepsInOrderOfInsertionAndKeepsItsPlace) {
  kernels::Backend& backend = shared_backend(GetParam());
  Plan plan(backend, 100, 4);
  // Oldest first: slots 2, 0, 3, 1.
  plan.tiers().take(plan.table(), 4);
  plan.tiers().release(plan.table(), {2, 0, 3, 1});
  plan.bind({20}, 1);
  plan.bind({0}, 2);
  plan.bind({30}, 3);
  plan.bind({10}, 4);
  plan.mark({2, 3}, {.use_counter = 5, .step = 1, .lease = false});
  const auto next = [&] {
    return plan
        .select({.kind = ReplacementKind::kSieve,
                 .wanted = 1,
                 .use_counter = 6,
                 .step = 2,
                 .first_live_lease = 100})
        .slots.at(0);
  };
  // The hand starts at slot 0 and moves towards newer rows: 0, then past 3 to 1, then the new ones.
  EXPECT_EQ(next(), 0u);
  plan.bind({40}, 7);     // newest
  EXPECT_EQ(next(), 1u);  // clears 3
  plan.bind({41}, 8);
  EXPECT_EQ(next(), 0u);  // the new row in slot 0 comes after, not yet used again
  plan.bind({42}, 9);
  EXPECT_EQ(next(), 1u);
}

// Many slots against sorting all of them.
TEST_P(Residency, LruAndRandomOfManySlotsMatchAFullSort) {
  kernels::Backend& backend = shared_backend(GetParam());
  constexpr std::uint32_t kSlots = 30000, kNow = 400000;
  Plan plan(backend, kSlots, kSlots);
  std::vector<RowId> rows(kSlots);
  std::iota(rows.begin(), rows.end(), 0u);
  plan.bind(rows, 1);
  std::mt19937 engine(8);
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    plan.table().last_used[slot] = kNow - engine() % 60;  // ages that lru tells apart exactly
    plan.table().step_used[slot] = engine() % 8;
  }
  std::vector<SlotId> expected(kSlots);
  std::iota(expected.begin(), expected.end(), 0u);
  const kernels::SlotTable& table = plan.table();
  std::stable_sort(expected.begin(), expected.end(), [&](SlotId a, SlotId b) {
    const auto key = [&](SlotId s) {
      const bool in_step = table.step_used[s] >= 3;
      const auto used = std::int64_t{table.last_used[s]};
      return std::pair{in_step, in_step ? -used : used};
    };
    return key(a) < key(b);
  });
  expected.resize(12345);
  std::sort(expected.begin(), expected.end());
  kernels::SelectVictimsArgs args{
      .wanted = 12345, .use_counter = kNow, .step = 3, .first_live_lease = 9};
  std::vector<SlotId> victims = plan.select(args).slots;
  std::sort(victims.begin(), victims.end());
  EXPECT_TRUE(victims == expected);
  // Random: no slot twice, another seed gives others, and the same seed the same.
  args.kind = ReplacementKind::kRandom;
  args.wanted = 5000;
  const auto drawn = plan.select(args).slots;
  EXPECT_EQ(std::set<SlotId>(drawn.begin(), drawn.end()).size(), 5000u);
}

TEST_P(Residency, RandomVictimsAreAFunctionOfSeedAndCounter) {
  kernels::Backend& backend = shared_backend(GetParam());
  const auto drawn = [&](std::uint64_t seed, std::uint32_t counter) {
    Plan plan(backend, 1000, 1000);
    std::vector<RowId> rows(1000);
    std::iota(rows.begin(), rows.end(), 0u);
    plan.bind(rows, 1);
    return plan
        .select({.kind = ReplacementKind::kRandom,
                 .wanted = 100,
                 .use_counter = counter,
                 .step = 3,
                 .first_live_lease = 9,
                 .seed = seed})
        .slots;
  };
  EXPECT_TRUE(drawn(1, 5) == drawn(1, 5));
  EXPECT_FALSE(drawn(1, 5) == drawn(2, 5));
  EXPECT_FALSE(drawn(1, 5) == drawn(1, 6));
}

}  // namespace
}  // namespace mneme::testing
