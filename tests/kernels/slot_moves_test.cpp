// How rows come to the device, go to the host tier and out of it again, one operation at a time.
#include <gtest/gtest.h>

#include <numeric>

#include "kernels/use_history.h"
#include "tests/kernels/test_tiers.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

using kernels::kDirty;
using kernels::kNoSlot;
using kernels::kOnDisk;
using kernels::kPrefetched;
using kernels::kUnsaved;
using kernels::Place;
using kernels::RowId;
using kernels::SlotId;
using kernels::use_history::kHalfLife;

class SlotMoves : public ::testing::TestWithParam<TestBackend> {};

INSTANTIATE_TEST_SUITE_P(Backends, SlotMoves, ::testing::ValuesIn(backends_under_test()),
                         backend_name);

TEST_P(SlotMoves, ResettingFreesAllSlotsInOrder) {
  TestTiers tiers(shared_backend(GetParam()), 20, 5, 0);
  EXPECT_EQ(tiers.device_tier().free_queue(), (std::vector<SlotId>{0, 1, 2, 3, 4}));
  tiers.bring({3, 4}, 1);
  tiers.backend().reset_slots(tiers.stream(), tiers.device());
  tiers.stream().synchronize();
  EXPECT_EQ(tiers.device_tier().free_queue(), (std::vector<SlotId>{0, 1, 2, 3, 4}));
  EXPECT_EQ(tiers.device().occupied[0], 0);
}

TEST_P(SlotMoves, BoundRowsTakeTheNextFreeSlotsAndWhatTheHostKnew) {
  TestTiers tiers(shared_backend(GetParam()), 20, 6, 4);
  tiers.place_on_disk({7, 8, 9});
  tiers.publish({8, 9}, tiers.take(tiers.host(), 2), 10, 3);
  tiers.host().frequency[1] = 8;  // of row 9, as of step 1: a hint's, to be used in step 3
  tiers.host().state[1] = kDirty | kOnDisk | kPrefetched | kUnsaved;
  tiers.host().state[0] = kOnDisk;
  const std::vector<RowId> rows{2, 7, 8, 9};
  const auto looked = tiers.lookup(rows);
  ASSERT_EQ(looked.missing, (std::vector<std::uint32_t>{2, 3, 0, 1}));
  const auto bound = tiers.bind(rows, looked.slots, looked.missing,
                                {.use_counter = 12, .step_used = 1 + kHalfLife});
  EXPECT_EQ(bound.slots, (std::vector<SlotId>{2, 3, 0, 1}));
  EXPECT_EQ(bound.from, (std::vector<SlotId>{0, 1, kNoSlot, kNoSlot}));
  EXPECT_EQ(bound.to, (std::vector<SlotId>{0, 1, 2, 3}));
  EXPECT_EQ(bound.rows, (std::vector<RowId>{8, 9, 2, 7}));

  const kernels::SlotTable& device = tiers.device();
  EXPECT_EQ(device.frequency[1], 4.0f + 1);
  EXPECT_EQ(device.frequency[2], 1.0f);
  EXPECT_EQ(device.state[1], kDirty | kOnDisk | kUnsaved);
  EXPECT_EQ(device.state[2], 0);
  EXPECT_EQ(device.state[3], kOnDisk);
  for (SlotId slot = 0; slot < 4; ++slot) {
    EXPECT_EQ(device.last_used[slot], 12u);
    EXPECT_EQ(device.inserted[slot], 12u);
    EXPECT_EQ(device.leased[slot], 12u);
    EXPECT_EQ(device.step_used[slot], 1 + kHalfLife);
    EXPECT_EQ(device.referenced[slot], 0);
  }
  EXPECT_EQ(tiers.device_tier().free_queue(), (std::vector<SlotId>{4, 5}));
  EXPECT_EQ(tiers.host_tier().free_queue(), (std::vector<SlotId>{2, 3, 0, 1}));
  EXPECT_EQ(tiers.host().totals->prefetch_used, 1u);
}

TEST_P(SlotMoves, CopyingLeavesEverythingWhereItIs) {
  TestTiers tiers(shared_backend(GetParam()), 20, 6, 4);
  tiers.place_on_disk({8});
  tiers.publish({8}, tiers.take(tiers.host(), 1), 10, 3);
  const std::vector<RowId> rows{2, 8};
  const auto looked = tiers.lookup(rows);
  const auto bound =
      tiers.bind(rows, looked.slots, looked.missing, {.use_counter = 12, .copy_only = true});
  EXPECT_EQ(bound.slots, (std::vector<SlotId>{kNoSlot, kNoSlot}));
  EXPECT_EQ(bound.from, (std::vector<SlotId>{0, kNoSlot}));
  EXPECT_EQ(bound.to, (std::vector<SlotId>{1, 0}));
  EXPECT_EQ(bound.rows, (std::vector<RowId>{8, 2}));
  EXPECT_EQ(tiers.locate(rows), (std::vector<kernels::Location>{0, location_of(Place::kHost, 0)}));
  EXPECT_EQ(tiers.device().totals->free, 6u);
  EXPECT_EQ(tiers.host().totals->prefetch_used, 0u);
}

// Their device slots have other rows by then.
TEST_P(SlotMoves, DemotedVictimsKeepTheirDataAndCleanOnesAreDropped) {
  TestTiers tiers(shared_backend(GetParam()), 20, 4, 3);
  tiers.place_on_disk({5});
  tiers.bring({1, 2, 3, 5}, 1, 2);
  tiers.mark(tiers.device(), {0}, {.use_counter = 1, .step = 2, .lease = false});
  tiers.mark(tiers.device(), {0},
             {.use_counter = 2, .step = 2 + kHalfLife, .lease = false, .dirty = true});
  tiers.device().last_used[3] = 3;
  const auto victims =
      tiers.select(tiers.device(),
                   {.wanted = 4, .use_counter = 4, .step = 3 + kHalfLife, .first_live_lease = 100});
  ASSERT_EQ(victims.slots, (std::vector<SlotId>{0, 1, 2, 3}));
  EXPECT_EQ(victims.last_used, (std::vector<std::uint32_t>{2, 1, 1, 3}));
  EXPECT_EQ(victims.frequency, (std::vector<float>{1.5f, 1, 1, 1}));
  EXPECT_EQ(victims.step_used, (std::vector<std::uint32_t>{2 + kHalfLife, 2, 2, 2}));
  tiers.release(tiers.device(), victims.slots);
  tiers.bring({10, 11, 12}, 5);
  const auto demoted = tiers.demote(victims, 6, 2);
  EXPECT_EQ(demoted.from, (std::vector<SlotId>{0, kNoSlot, kNoSlot, 3, kNoSlot, kNoSlot}));
  EXPECT_EQ(demoted.to, (std::vector<SlotId>{0, kNoSlot, kNoSlot, 1, kNoSlot, kNoSlot}));
  EXPECT_EQ(demoted.moved, 2u);
  const kernels::SlotTable& host = tiers.host();
  EXPECT_EQ(tiers.locate({1, 5}), (std::vector<kernels::Location>{location_of(Place::kHost, 0),
                                                                  location_of(Place::kHost, 1)}));
  EXPECT_EQ(host.row_of_slot[0], 1u);
  EXPECT_EQ(host.state[0], kDirty);
  EXPECT_EQ(host.state[1], kOnDisk);
  EXPECT_EQ(host.last_used[0], 2u);
  EXPECT_EQ(host.frequency[0], 1.5f);
  EXPECT_EQ(host.frequency[1], 1.0f);
  EXPECT_EQ(host.referenced[0], 1);
  EXPECT_EQ(host.referenced[1], 0);
  EXPECT_EQ(host.inserted[0], 6u);
  EXPECT_EQ(host.leased[0], 0u);
  EXPECT_EQ(host.step_used[0], 2 + kHalfLife);
  EXPECT_EQ(tiers.device().totals->dropped, 2u);
  EXPECT_EQ(tiers.device_tier().free_queue(), (std::vector<SlotId>{3}));
  EXPECT_EQ(tiers.device().row_of_slot[0], 10u);
  EXPECT_EQ(tiers.host_tier().free_queue(), (std::vector<SlotId>{2}));
}

TEST_P(SlotMoves, DemotedVictimsTakeTheHostSlotsThatBindingFreed) {
  TestTiers tiers(shared_backend(GetParam()), 20, 2, 2);
  tiers.place_on_disk({4, 5, 6, 7});
  tiers.publish({4, 5}, tiers.take(tiers.host(), 2), 1, 0);
  tiers.bring({6, 7}, 2);
  const auto victims = tiers.select(
      tiers.device(), {.wanted = 2, .use_counter = 3, .step = 1, .first_live_lease = 3});
  tiers.release(tiers.device(), victims.slots);
  EXPECT_EQ(tiers.bring({4, 5}, 3), (std::vector<SlotId>{0, 1}));
  const auto demoted = tiers.demote(victims, 3);
  EXPECT_EQ(demoted.from, (std::vector<SlotId>{0, 1}));
  EXPECT_EQ(demoted.to, (std::vector<SlotId>{0, 1}));
  EXPECT_EQ(tiers.locate({4, 5, 6, 7}),
            (std::vector<kernels::Location>{
                location_of(Place::kDevice, 0), location_of(Place::kDevice, 1),
                location_of(Place::kHost, 0), location_of(Place::kHost, 1)}));
  EXPECT_TRUE(tiers.device_tier().free_queue().empty());
  EXPECT_TRUE(tiers.host_tier().free_queue().empty());
}

TEST_P(SlotMoves, TakenSlotsComeFromTheHeadAndReleasedOnesGoBehind) {
  TestTiers tiers(shared_backend(GetParam()), 20, 3, 0);
  EXPECT_EQ(tiers.take(tiers.device(), 2), (std::vector<SlotId>{0, 1}));
  tiers.release(tiers.device(), {1, 0});
  EXPECT_EQ(tiers.device_tier().free_queue(), (std::vector<SlotId>{2, 1, 0}));
  EXPECT_EQ(tiers.take(tiers.device(), 5), (std::vector<SlotId>{2, 1, 0}));
  EXPECT_TRUE(tiers.take(tiers.device(), 1).empty());
  tiers.release(tiers.device(), {0});
  EXPECT_EQ(tiers.take(tiers.device(), 0), std::vector<SlotId>());
  EXPECT_EQ(tiers.device_tier().free_queue(), (std::vector<SlotId>{0}));
}

// Binding, demoting and releasing lists longer than one tile or chunk of any backend.
TEST_P(SlotMoves, ManyRowsGoToTheHostAndComeBack) {
  constexpr std::uint32_t kRows = 9000;
  TestTiers tiers(shared_backend(GetParam()), kRows, kRows, kRows);
  std::vector<RowId> rows(kRows);
  std::iota(rows.begin(), rows.end(), 0u);
  std::vector<SlotId> dirty = tiers.bring(rows, 1);
  EXPECT_TRUE(dirty == rows);
  for (RowId row = 0; row < kRows; row += 3) dirty[row] = kNoSlot;  // stays as it began
  tiers.mark(tiers.device(), dirty, {.use_counter = 2, .step = 1, .lease = false, .dirty = true});
  const auto victims = tiers.select(
      tiers.device(), {.wanted = kRows, .use_counter = 3, .step = 9, .first_live_lease = 100});
  tiers.release(tiers.device(), victims.slots);
  const auto demoted = tiers.demote(victims, 3);
  EXPECT_EQ(tiers.device().totals->dropped, kRows / 3);
  EXPECT_EQ(tiers.host().totals->free, kRows / 3);
  SlotId next = 0;
  for (std::size_t i = 0; i < victims.slots.size(); ++i) {
    const bool kept = victims.rows[i] % 3 != 0;
    ASSERT_EQ(demoted.to[i], kept ? next : kNoSlot);
    if (kept) ++next;
  }
  tiers.bring(rows, 4);
  EXPECT_EQ(tiers.host().totals->free, kRows);
  EXPECT_EQ(tiers.device().totals->free, 0u);
  EXPECT_EQ(tiers.dirty(tiers.device()).size(), 2 * kRows / 3);
}

// ---- Contradictions are bugs ----

class SlotMovesDeath : public SlotMoves {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

INSTANTIATE_TEST_SUITE_P(Backends, SlotMovesDeath, ::testing::ValuesIn(backends_under_test()),
                         backend_name);

TEST_P(SlotMovesDeath, BindingMoreRowsThanThereAreFreeSlots) {
  EXPECT_DEATH(
      {
        TestTiers tiers(shared_backend(GetParam()), 20, 2, 0);
        tiers.bring({4, 5, 6}, 1);
      },
      "no slot is free for row 6: 2 of 2 slots were");
}

TEST_P(SlotMovesDeath, BindingARowThatIsOnTheDevice) {
  EXPECT_DEATH(
      {
        TestTiers tiers(shared_backend(GetParam()), 20, 4, 0);
        tiers.bring({4}, 1);
        tiers.bind({4}, {kNoSlot}, {0}, {});
      },
      "row 4 is not where it should be: it is on the device, slot 0");
}

TEST_P(SlotMovesDeath, DemotingMoreVictimsThanTheHostTierHasRoomFor) {
  EXPECT_DEATH(
      {
        TestTiers tiers(shared_backend(GetParam()), 20, 2, 1);
        tiers.place_on_disk({4, 5});
        tiers.bring({4, 5}, 1);
        tiers.demote(
            tiers.select(tiers.device(), {.wanted = 2, .use_counter = 4, .first_live_lease = 9}),
            4);
      },
      "no slot is free for row 5: 1 of 1 slots were");
}

TEST_P(SlotMovesDeath, ReleasingASlotThatHasARow) {
  EXPECT_DEATH(
      {
        TestTiers tiers(shared_backend(GetParam()), 20, 2, 0);
        tiers.bring({4}, 1);
        tiers.release(tiers.device(), {0});
      },
      "slot 0 of 2 cannot be freed: it still has row 4");
}

TEST_P(SlotMovesDeath, ReleasingSlotsThatAreFree) {
  EXPECT_DEATH(
      {
        TestTiers tiers(shared_backend(GetParam()), 20, 2, 0);
        tiers.release(tiers.device(), {1});
      },
      "slot 1 cannot be freed: all 2 slots are free");
}

TEST_P(SlotMovesDeath, ReleasingMoreSlotsThanTheListMayHave) {
  for (const std::int64_t most : {1, 0}) {
    EXPECT_DEATH(
        {
          TestTiers tiers(shared_backend(GetParam()), 20, 3, 0);
          tiers.release(tiers.device(), tiers.take(tiers.device(), 2), most);
        },
        "a list of 2 slots may have " + std::to_string(most) + " at most");
  }
}

TEST_P(SlotMovesDeath, PublishingARowThatIsNotOnDisk) {
  EXPECT_DEATH(
      {
        TestTiers tiers(shared_backend(GetParam()), 20, 2, 2);
        tiers.publish({3}, {0}, 1, 1);
      },
      "row 3 is not where it should be: it is untouched");
}

TEST_P(SlotMovesDeath, PublishingInASlotOfAnotherRow) {
  EXPECT_DEATH(
      {
        TestTiers tiers(shared_backend(GetParam()), 20, 2, 2);
        tiers.place_on_disk({3, 4});
        tiers.publish({3}, {0}, 1, 1);
        tiers.publish({4}, {0}, 1, 1);
      },
      "slot 0 of 2 for row 4 is not free");
}

TEST_P(SlotMovesDeath, PlacingARowOnDiskThatIsOnTheDevice) {
  EXPECT_DEATH(
      {
        TestTiers tiers(shared_backend(GetParam()), 20, 2, 0);
        tiers.bring({4}, 1);
        tiers.place_on_disk({4});
      },
      "row 4 is not where it should be: it is on the device, slot 0");
}

}  // namespace
}  // namespace mneme::testing
