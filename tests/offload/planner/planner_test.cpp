// The contract of residency and replacement: where rows are, which of them move for a lease or a
// hint, and which have to go. A planner is made here with nothing but a backend and numbers of
// slots; no record exists.
#include "offload/planner/planner.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "tests/offload/planner/planner_run.h"
#include "tests/support/counting_memory.h"

namespace mneme::offload {
namespace {

using kernels::Place;
using kernels::RowId;
using testing::Decision;
using testing::PlannerRun;
using testing::Rows;
using testing::rows_from;

constexpr PlannerOptions kSmall{
    .rows = 1000, .device_slots = 8, .evaluation_slots = 8, .host_slots = 16};

PlannerOptions with(void (*change)(PlannerOptions&)) {
  PlannerOptions options = kSmall;
  change(options);
  return options;
}

// ---- Residency

TEST(Planner, ARowIsUntouchedUntilALeaseTakesItThenOnTheDevice) {
  PlannerRun run(kSmall);
  EXPECT_TRUE(run.all_at({3, 4}, Place::kUntouched));
  const Decision first = run.lease({3, 4});
  EXPECT_EQ(first.generated, (Rows{3, 4}));
  EXPECT_TRUE(run.all_at({3, 4}, Place::kDevice));
  const Decision second = run.lease({3, 4});
  EXPECT_EQ(second.found_on_device, (Rows{3, 4}));
  EXPECT_EQ(second.victims, 0);
}

TEST(Planner, AVictimOfTheDeviceGoesToTheHostTierAndComesBackFromThere) {
  PlannerRun run(kSmall);
  run.lease(rows_from(0, 7));
  const Decision next = run.lease({100, 101});
  EXPECT_EQ(next.victims, 2);
  EXPECT_TRUE(next.to_disk.empty());
  EXPECT_TRUE(run.all_at({0, 1}, Place::kHost)) << "least recently used, lower slots first";
  EXPECT_EQ(run.lease({0, 1}).from_host, (Rows{0, 1}));
  EXPECT_TRUE(run.all_at({0, 1}, Place::kDevice));
}

TEST(Planner, AVictimOfTheHostTierGoesToTheDiskAndComesBackFromThere) {
  PlannerRun run(kSmall);
  Rows to_disk;
  for (RowId first = 0; first < 32; first += 8) {
    const Decision decision = run.lease(rows_from(first, first + 7));
    to_disk.insert(to_disk.end(), decision.to_disk.begin(), decision.to_disk.end());
  }
  ASSERT_FALSE(to_disk.empty());
  EXPECT_TRUE(run.all_at(to_disk, Place::kDisk));
  EXPECT_EQ(run.lease({to_disk[0]}).from_disk, (Rows{to_disk[0]}));
}

TEST(Planner, WithoutAHostTierVictimsOfTheDeviceGoToTheDisk) {
  PlannerRun run(with([](PlannerOptions& options) { options.host_slots = 0; }));
  run.lease(rows_from(0, 7));
  EXPECT_EQ(run.lease({100, 101}).to_disk, (Rows{0, 1}));
  EXPECT_TRUE(run.all_at({0, 1}, Place::kDisk));
}

TEST(Planner, ACleanVictimIsDroppedAndOneThatWasNeverChangedIsUntouchedAgain) {
  PlannerRun run(with([](PlannerOptions& options) { options.host_slots = 0; }));
  run.lease(rows_from(0, 7), PlanMode::kTrain, /*dirty=*/false);
  const Decision next = run.lease({100});
  EXPECT_EQ(next.dropped, (Rows{0}));
  EXPECT_TRUE(next.to_disk.empty());
  EXPECT_TRUE(run.all_at({0}, Place::kUntouched));
  EXPECT_EQ(run.planner().touched_count(), 8u);
}

TEST(Planner, ARowWhoseRecordIsSavedIsNotWrittenAgain) {
  PlannerRun run(with([](PlannerOptions& options) { options.host_slots = 0; }));
  run.lease(rows_from(0, 7));
  const Rows dirty = run.planner().begin_save();
  EXPECT_EQ(dirty, rows_from(0, 7));
  const Planner::Unsaved taken =
      run.planner().take_unsaved(dirty.data(), std::ssize(dirty), kernels::MemoryKind::kPinnedHost);
  EXPECT_EQ(taken.device_rows, dirty);
  EXPECT_TRUE(run.planner().dirty(Place::kDevice).rows.empty());
  EXPECT_EQ(run.lease({100}).dropped, (Rows{0}));
  EXPECT_TRUE(run.all_at({0}, Place::kDisk));
}

TEST(Planner, RowsOfACheckpointAreOnDisk) {
  PlannerRun run(kSmall);
  run.planner().place_on_disk(Rows{5, 6});
  EXPECT_EQ(run.lease({5, 7}).from_disk, (Rows{5}));
  EXPECT_EQ(run.planner().touched_rows(), (Rows{5, 6, 7}));
}

// ---- Leases

TEST(Planner, RowsOfALiveLeaseAreNeverVictims) {
  PlannerRun run(kSmall);
  PlannedLease& held = run.hold(rows_from(0, 4));
  EXPECT_EQ(run.planner().capacity(PlanMode::kTrain), 3);
  for (RowId row = 100; row < 130; row += 3) run.lease(rows_from(row, row + 2));
  EXPECT_TRUE(run.all_at(rows_from(0, 4), Place::kDevice));
  run.planner().end_lease(held);
  EXPECT_EQ(run.planner().capacity(PlanMode::kTrain), 8);
  run.lease(rows_from(200, 207));
  EXPECT_FALSE(run.all_at(rows_from(0, 4), Place::kDevice));
}

TEST(Planner, ALeaseAsLargeAsTheDeviceTierTradesPlacesWithAFullHostTier) {
  PlannerRun run(kSmall);
  for (RowId first = 0; first < 24; first += 8) run.lease(rows_from(first, first + 7));
  // Every slot of both tiers holds a row now, but for one of the host tier.
  const Decision swapped = run.lease(rows_from(0, 7));
  EXPECT_EQ(swapped.from_host.size() + swapped.from_disk.size(), 8u);
  EXPECT_EQ(swapped.victims, 8);
  EXPECT_TRUE(run.all_at(rows_from(0, 7), Place::kDevice));
}

TEST(Planner, AReadOnlyLeaseMovesNothing) {
  PlannerRun run(kSmall);
  for (RowId first = 0; first < 32; first += 8) run.lease(rows_from(first, first + 7));
  const Rows all = rows_from(0, 40);
  const auto before = run.locate(all);
  const Decision seen = run.lease({0, 8, 16, 24, 25, 40}, PlanMode::kReadOnly);
  EXPECT_EQ(seen.generated, (Rows{40}));
  EXPECT_EQ(seen.victims, 0);
  EXPECT_TRUE(seen.to_disk.empty());
  EXPECT_EQ(run.locate(all), before);
}

TEST(Planner, ReadingDoesNotMakeARowRecentlyUsed) {
  PlannerRun run(kSmall);
  run.planner().begin_step(1);
  run.lease({0, 1, 2, 3});
  run.lease({4, 5, 6, 7});
  run.planner().begin_step(2);
  for (int i = 0; i < 5; ++i) run.lease({0, 1, 2, 3}, PlanMode::kReadOnly);
  run.lease(rows_from(100, 103));
  EXPECT_TRUE(run.all_at({0, 1, 2, 3}, Place::kHost));
  EXPECT_TRUE(run.all_at({4, 5, 6, 7}, Place::kDevice));
}

TEST(Planner, TheNumberOfRowsMayBeKnownToTheDeviceAlone) {
  PlannerRun run(kSmall);
  kernels::Backend& backend = mneme::testing::test_backend();
  const auto rows = kernels::pinned_array<RowId>(backend, 20);
  const auto count = kernels::pinned_array<std::uint64_t>(backend, 1);
  for (RowId row = 0; row < 20; ++row) rows[row] = row;
  count[0] = 3;
  run.planner().look_up({.rows = rows.data(), .count = 8, .count_at = count.data()},
                        PlanMode::kTrain);
  EXPECT_EQ(run.planner().found().count, 3);
  EXPECT_EQ(run.planner().found().untouched, 3);
  count[0] = 20;  // more than a lease can have
  run.planner().look_up({.rows = rows.data(), .count = 8, .count_at = count.data()},
                        PlanMode::kTrain);
  EXPECT_EQ(run.planner().found().count, 20);
  EXPECT_EQ(run.planner().found().missing(), 0) << "nothing was looked up";
}

TEST(Planner, ALookUpThatIsNotFollowedUpChangesNothing) {
  PlannerRun run(kSmall), other(kSmall);
  kernels::Backend& backend = mneme::testing::test_backend();
  const auto rows = kernels::pinned_array<RowId>(backend, 8);
  for (RowId row = 0; row < 8; ++row) rows[row] = row;
  for (RowId first = 0; first < 64; first += 8) {
    run.planner().look_up({.rows = rows.data(), .count = 8}, PlanMode::kTrain);
    run.planner().found();
    const Decision one = run.lease(rows_from(first, first + 7));
    const Decision two = other.lease(rows_from(first, first + 7));
    EXPECT_EQ(one.to_disk, two.to_disk);
  }
  EXPECT_EQ(run.locate(rows_from(0, 70)), other.locate(rows_from(0, 70)));
}

// ---- Hints

// Rows 0 .. 7 on disk, and the host tier half empty.
void put_on_disk(PlannerRun& run) {
  run.planner().place_on_disk(rows_from(0, 7));
}

TEST(Planner, AHintToTheHostTierGivesRowsOnDiskTheirSlotsAtOnce) {
  PlannerRun run(kSmall);
  put_on_disk(run);
  run.lease({50});
  const PlannedHint hint =
      run.planner().plan_hint_to_host(Rows{50, 3, 60, 1}, 100, HintStep::kNext);
  EXPECT_EQ(hint.rows, (Rows{3, 1})) << "in the order of the hint";
  EXPECT_EQ(hint.present, 2u) << "one is on the device, one was never touched";
  EXPECT_EQ(hint.dropped, 0u);
  EXPECT_TRUE(run.all_at({1, 3}, Place::kHost));
  const Decision lease = run.lease({1, 2, 3});
  EXPECT_EQ(lease.from_host, (Rows{1, 3}));
  EXPECT_EQ(lease.hinted, (Rows{1, 3}));
  EXPECT_EQ(lease.from_disk, (Rows{2}));
  EXPECT_EQ(run.planner().settle().host.prefetch_used, 2u);
  EXPECT_TRUE(run.lease({1, 3}).hinted.empty());
}

TEST(Planner, HintsTakeHalfOfTheirTierAtMostAndSayWhatTheyDrop) {
  PlannerRun run(kSmall);
  run.planner().place_on_disk(rows_from(0, 20));
  const PlannedHint first = run.planner().plan_hint_to_host(rows_from(0, 4), 3, HintStep::kNext);
  EXPECT_EQ(first.rows.size(), 3u);
  EXPECT_EQ(first.dropped, 2u) << "beyond the limit of the call";
  const PlannedHint second =
      run.planner().plan_hint_to_host(rows_from(10, 20), 100, HintStep::kNext);
  EXPECT_EQ(second.rows.size(), 5u) << "half of 16 slots, three of them taken";
  EXPECT_EQ(second.dropped, 6u);
  run.lease(first.rows);
  EXPECT_EQ(run.planner().plan_hint_to_host(rows_from(16, 20), 100, HintStep::kNext).rows.size(),
            3u)
      << "rows that were used make room";
}

TEST(Planner, HintedRowsAreVictimsOnlyWhenNothingElseIsLeft) {
  PlannerRun run(kSmall);
  put_on_disk(run);
  const PlannedHint hint = run.planner().plan_hint_to_host(rows_from(0, 7), 100, HintStep::kNext);
  ASSERT_EQ(hint.rows.size(), 8u);
  run.planner().begin_step(1);
  for (RowId first = 100; first < 164; first += 8) run.lease(rows_from(first, first + 7));
  EXPECT_TRUE(run.all_at(rows_from(0, 7), Place::kHost)) << "the step has not used them yet";
  run.planner().begin_step(3);
  for (RowId first = 200; first < 264; first += 8) run.lease(rows_from(first, first + 7));
  EXPECT_TRUE(run.all_at(rows_from(0, 7), Place::kDisk)) << "their step is over";
  EXPECT_EQ(run.planner().settle().host.prefetch_wasted, 8u);
}

TEST(Planner, AHintToTheDeviceBringsRowsOfTheHostTier) {
  PlannerRun run(kSmall);
  run.lease(rows_from(0, 7));
  run.lease(rows_from(8, 15));
  ASSERT_TRUE(run.all_at(rows_from(0, 7), Place::kHost));
  Planner& planner = run.planner();
  planner.begin_step(1);
  const PlannedHint hint = planner.plan_hint_to_device(rows_from(0, 7), 3, HintStep::kNext);
  EXPECT_EQ(hint.rows, rows_from(0, 2));
  EXPECT_EQ(hint.dropped, 5u);
  Round round;
  std::int64_t arriving = 0;
  while (planner.next_round(round)) {
    planner.plan(round);
    arriving += round.exchange.arriving;
    planner.end_round(nullptr, nullptr);
  }
  planner.finish_lease();
  EXPECT_EQ(arriving, 3);
  EXPECT_TRUE(run.all_at(rows_from(0, 2), Place::kDevice));
  planner.begin_step(2);
  run.lease(rows_from(100, 104));
  EXPECT_TRUE(run.all_at(rows_from(0, 2), Place::kDevice)) << "protected in the step after";
  EXPECT_EQ(run.lease({0, 1, 2}).found_on_device, rows_from(0, 2));
  EXPECT_EQ(planner.settle().device.prefetch_used, 3u);
}

namespace {

// Carries out what a hint to the device has planned.
void bring(Planner& planner) {
  Round round;
  while (planner.next_round(round)) {
    planner.plan(round);
    planner.end_round(nullptr, nullptr);
  }
  planner.finish_lease();
}

}  // namespace

TEST(Planner, AHintToTheDeviceTakesNoPlaceOfTheRunningStep) {
  PlannerRun run(kSmall);
  Planner& planner = run.planner();
  planner.begin_step(1);
  run.lease(rows_from(0, 7));
  planner.begin_step(2);
  run.lease(rows_from(8, 13));  // rows 0 to 5 go; two places are of step 1
  ASSERT_TRUE(run.all_at(rows_from(0, 5), Place::kHost));
  const PlannedHint hint = planner.plan_hint_to_device(rows_from(0, 5), 100, HintStep::kNext);
  EXPECT_EQ(hint.rows, rows_from(0, 1));
  EXPECT_EQ(hint.dropped, 4u);
  bring(planner);
  EXPECT_TRUE(run.all_at(rows_from(8, 13), Place::kDevice));
  EXPECT_TRUE(planner.plan_hint_to_device(rows_from(2, 5), 100, HintStep::kNext).rows.empty())
      << "nor that of another hint";
  planner.end_step();
  EXPECT_EQ(planner.plan_hint_to_device(rows_from(2, 5), 100, HintStep::kNext).rows,
            rows_from(2, 5))
      << "the step is over";
  bring(planner);
  EXPECT_TRUE(run.all_at(rows_from(0, 5), Place::kDevice));
}

TEST(Planner, RowsThatAHintNamesWhereTheyAreStayUpToItsStep) {
  PlannerRun run(kSmall);
  Planner& planner = run.planner();
  planner.begin_step(1);
  run.lease(rows_from(0, 3));
  run.lease(rows_from(4, 7));
  planner.end_step();
  const PlannedHint hint = planner.plan_hint_to_device(rows_from(0, 3), 100, HintStep::kNext);
  EXPECT_TRUE(hint.rows.empty());
  EXPECT_EQ(hint.present, 4u);
  planner.begin_step(2);
  run.lease(rows_from(100, 103));
  EXPECT_TRUE(run.all_at(rows_from(0, 3), Place::kDevice)) << "the older ones";
  EXPECT_TRUE(run.all_at(rows_from(4, 7), Place::kHost));
  planner.begin_step(3);
  run.lease(rows_from(200, 203));
  EXPECT_TRUE(run.all_at(rows_from(0, 3), Place::kHost)) << "their step is over";
  EXPECT_EQ(planner.settle().device.prefetch_wasted, 0u) << "nothing was brought";
}

// ---- Determinism, memory, errors

TEST(Planner, EqualCallsGiveEqualPlans) {
  PlannerOptions options{.rows = 500, .device_slots = 40, .evaluation_slots = 20, .host_slots = 60};
  for (const auto policy : {kernels::ReplacementKind::kLru, kernels::ReplacementKind::kSieve,
                            kernels::ReplacementKind::kRandom}) {
    options.device_policy = options.host_policy = policy;
    PlannerRun one(options), two(options);
    std::mt19937 random(3);
    for (std::uint64_t step = 1; step <= 50; ++step) {
      std::set<RowId> rows;
      while (rows.size() < 30) rows.insert(static_cast<RowId>(random() % 500));
      const Rows chosen(rows.begin(), rows.end());
      for (PlannerRun* run : {&one, &two}) {
        run->planner().begin_step(step);
        run->lease(chosen);
        run->planner().plan_hint_to_host(rows_from(static_cast<RowId>(step), 100), 5,
                                         HintStep::kNext);
      }
    }
    EXPECT_EQ(one.locate(rows_from(0, 499)), two.locate(rows_from(0, 499)));
  }
}

TEST(Planner, AllocatesWhatItsMemoryFunctionSays) {
  for (const std::uint32_t host_slots : {0u, 16u, 5000u}) {
    for (const auto policy : {kernels::ReplacementKind::kLru, kernels::ReplacementKind::kLfu}) {
      const PlannerOptions options{.rows = 12345,
                                   .device_slots = 700,
                                   .evaluation_slots = 50,
                                   .host_slots = host_slots,
                                   .device_policy = policy,
                                   .host_policy = kernels::ReplacementKind::kStaticHot};
      mneme::testing::CountingMemory backend(mneme::testing::test_backend());
      const Planner planner(backend, options);
      const PlannerMemory stated = planner_memory(options);
      EXPECT_EQ(backend.bytes(kernels::MemoryKind::kDevice), stated.device_bytes);
      EXPECT_EQ(backend.bytes(kernels::MemoryKind::kPinnedHost), stated.pinned_bytes);
    }
  }
}

TEST(Planner, WithoutADiskATableThatDoesNotFitIsAnError) {
  PlannerRun run(with([](PlannerOptions& options) { options.has_disk = false; }));
  for (RowId first = 0; first < 24; first += 8) run.lease(rows_from(first, first + 7));
  // Nowhere to go: the planner says which host rows have to, and the caller has no file for them.
  EXPECT_FALSE(run.lease({900}).to_disk.empty());
}

}  // namespace
}  // namespace mneme::offload
