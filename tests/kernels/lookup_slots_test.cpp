// Looking rows up: where each one is, and the lists of those that are not on the device.
#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "tests/kernels/test_tiers.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

using kernels::kNoSlot;
using kernels::RowId;
using kernels::SlotId;

class LookUp : public ::testing::TestWithParam<TestBackend> {};

INSTANTIATE_TEST_SUITE_P(Backends, LookUp, ::testing::ValuesIn(backends_under_test()),
                         backend_name);

TEST_P(LookUp, SplitsRowsByTier) {
  kernels::Backend& backend = shared_backend(GetParam());
  TestTiers tiers(backend, 1000, 8, 4);
  tiers.place_on_disk({17, 300, 301, 900});
  tiers.bring({5, 40, 900}, 1);  // device slots 0, 1, 2 in the order: untouched, then on disk
  tiers.publish({301}, tiers.take(tiers.host(), 1), 2, 0);
  const auto looked = tiers.lookup({0, 5, 17, 18, 300, 301, 900, 999}, 7);
  EXPECT_EQ(looked.slots,
            (std::vector<SlotId>{kNoSlot, 0, kNoSlot, kNoSlot, kNoSlot, kNoSlot, 2, kNoSlot}));
  EXPECT_EQ(looked.missing, (std::vector<std::uint32_t>{5, 0, 3, 7, 2, 4}));
  EXPECT_EQ(looked.disk_rows, (std::vector<RowId>{17, 300}));
  EXPECT_EQ(looked.report.in_host, 1u);
  EXPECT_EQ(looked.report.untouched, 3u);
  EXPECT_EQ(looked.report.on_disk, 2u);
  EXPECT_EQ(looked.report.device.free, 5u);
  EXPECT_EQ(looked.report.device.first_free, 3u);
  EXPECT_EQ(looked.report.host.free, 3u);
  EXPECT_EQ(tiers.host().leased[0], 7u);
  tiers.lookup({301});
  EXPECT_EQ(tiers.host().leased[0], 7u);
}

TEST_P(LookUp, OfAsManyRowsAsTheDeviceSays) {
  kernels::Backend& backend = shared_backend(GetParam());
  TestTiers tiers(backend, 10000, 8, 4);
  tiers.place_on_disk({2, 6});
  tiers.bring({3}, 1);
  constexpr std::int64_t kMost = 3000;
  std::vector<RowId> ids(kMost);
  std::iota(ids.begin(), ids.end(), 1u);
  const Pinned<RowId> rows(backend, ids), disk_rows(backend, kMost, 99u);
  const Pinned<SlotId> slots(backend, kMost, 77u);
  const Pinned<std::uint32_t> missing(backend, kMost, 55u);
  const Pinned<std::uint64_t> count(backend, 1);
  const Pinned<kernels::LookupReport> report(backend, 1);
  const kernels::LookupSlotsArgs args{.rows = rows.data(),
                                      .count = kMost,
                                      .count_at = count.data(),
                                      .slots = slots.data(),
                                      .missing = missing.data(),
                                      .disk_rows = disk_rows.data(),
                                      .report = report.data()};
  const auto look_up = [&](std::uint64_t there) {
    count[0] = there;
    backend.lookup_slots(tiers.stream(), tiers.device(), tiers.host(), args);
    tiers.stream().synchronize();
    EXPECT_EQ(report[0].count, there);
  };
  look_up(4);
  EXPECT_EQ(report[0].untouched, 2u);
  EXPECT_EQ(report[0].on_disk, 1u);
  EXPECT_EQ(first_of(missing, 3), (std::vector<std::uint32_t>{0, 3, 1}));
  EXPECT_EQ(disk_rows[0], 2u);
  EXPECT_EQ(first_of(slots, 4), (std::vector<SlotId>{kNoSlot, kNoSlot, 0, kNoSlot}));
  EXPECT_EQ(slots[4], 77u) << "beyond the rows nothing is written";
  EXPECT_EQ(missing[3], 55u);
  EXPECT_EQ(disk_rows[1], 99u);
  look_up(0);
  EXPECT_EQ(report[0].untouched + report[0].on_disk + report[0].in_host, 0u);
  look_up(kMost);
  EXPECT_EQ(report[0].untouched, kMost - 3u);
  slots[0] = 77;
  look_up(kMost + 1);
  EXPECT_EQ(report[0].untouched + report[0].on_disk + report[0].in_host, 0u) << "too many";
  EXPECT_EQ(slots[0], 77u);
}

TEST_P(LookUp, ListsRowsThatAHintBroughtAndUsesThoseOnTheDevice) {
  kernels::Backend& backend = shared_backend(GetParam());
  TestTiers tiers(backend, 1000, 8, 8);
  tiers.place_on_disk({5, 9, 700, 800});
  tiers.publish({700, 5, 9}, tiers.take(tiers.host(), 3), 1, 0);
  tiers.bring({9, 20}, 1);  // uses one
  const auto hinted = tiers.lookup({700});
  tiers.bind({700}, hinted.slots, hinted.missing, {.use_counter = 2, .hint = true, .step_used = 6});
  EXPECT_EQ(tiers.host().totals->prefetch_used, 1u) << "a hint is no use";
  const SlotId slot = kernels::slot_of(tiers.locate({700})[0]);
  EXPECT_EQ(tiers.device().state[slot], kernels::kOnDisk | kernels::kPrefetched);
  EXPECT_EQ(tiers.device().step_used[slot], 6u);

  const std::vector<RowId> wanted = {4, 5, 9, 20, 700, 800};
  const Pinned<RowId> rows(backend, wanted), listed(backend, 6);
  const Pinned<SlotId> slots(backend, 6);
  const Pinned<kernels::LookupReport> report(backend, 1);
  kernels::LookupSlotsArgs args{.rows = rows.data(),
                                .count = 6,
                                .slots = slots.data(),
                                .hinted_rows = listed.data(),
                                .report = report.data()};
  const auto look_up = [&] {
    backend.lookup_slots(tiers.stream(), tiers.device(), tiers.host(), args);
    tiers.stream().synchronize();
  };
  look_up();
  EXPECT_EQ(report[0].hinted, 1u);
  EXPECT_EQ(listed[0], 5u);
  EXPECT_EQ(report[0].device.prefetch_used, 0u);
  args.use_hints = true;
  look_up();
  EXPECT_EQ(report[0].device.prefetch_used, 1u);
  EXPECT_EQ(tiers.device().state[slot], kernels::kOnDisk);
  look_up();
  EXPECT_EQ(report[0].device.prefetch_used, 1u) << "used once";
}

TEST_P(LookUp, OfNothingIsAReport) {
  kernels::Backend& backend = shared_backend(GetParam());
  TestTiers tiers(backend, 10, 3, 0);
  tiers.bring({4}, 1);
  const auto looked = tiers.lookup({});
  EXPECT_EQ(looked.report.in_host + looked.report.untouched + looked.report.on_disk, 0u);
  EXPECT_EQ(looked.report.device.free, 2u);
  EXPECT_EQ(looked.report.host.free, 0u);
}

TEST_P(LookUp, FillsOnlyTheListsThatAreWanted) {
  kernels::Backend& backend = shared_backend(GetParam());
  TestTiers tiers(backend, 10, 3, 0);
  tiers.place_on_disk({2, 6});
  const Pinned<RowId> rows(backend, {1, 2, 6}), disk_rows(backend, 3, 99u);
  const Pinned<SlotId> slots(backend, 3);
  kernels::LookupSlotsArgs args{.rows = rows.data(), .count = 3, .slots = slots.data()};
  backend.lookup_slots(tiers.stream(), tiers.device(), {}, args);
  args.disk_rows = disk_rows.data();
  backend.lookup_slots(tiers.stream(), tiers.device(), {}, args);
  tiers.stream().synchronize();
  EXPECT_EQ(slots.values(), (std::vector<SlotId>(3, kNoSlot)));
  EXPECT_EQ(disk_rows.values(), (std::vector<RowId>{2, 6, 99}));
}

// More rows than one tile or chunk of any backend.
TEST_P(LookUp, ListsManyRowsInOrder) {
  kernels::Backend& backend = shared_backend(GetParam());
  constexpr std::uint32_t kRows = 20000;
  TestTiers tiers(backend, kRows, kRows / 4, kRows / 4);
  std::vector<RowId> all(kRows), device, disk, host;
  std::iota(all.begin(), all.end(), 0u);
  std::mt19937 engine(3);
  for (const RowId row : all) {
    const std::uint32_t chance = engine() % 5;
    if (chance == 0) device.push_back(row);
    if (chance == 1) disk.push_back(row);
    if (chance == 2) host.push_back(row);
  }
  tiers.bring(device, 1);
  tiers.place_on_disk(disk);
  tiers.place_on_disk(host);
  tiers.publish(host, tiers.take(tiers.host(), std::ssize(host)), 1, 0);
  const auto looked = tiers.lookup(all, 5);
  std::vector<std::uint32_t> expected = host;
  for (const RowId row : all) {
    if (kernels::place_of(tiers.locations()[row]) == kernels::Place::kUntouched)
      expected.push_back(row);
  }
  expected.insert(expected.end(), disk.begin(), disk.end());
  EXPECT_TRUE(looked.missing == expected);
  EXPECT_TRUE(looked.disk_rows == disk);
  EXPECT_EQ(looked.report.in_host, host.size());
  for (std::size_t i = 0; i < host.size(); ++i) ASSERT_EQ(tiers.host().leased[i], 5u);
}

}  // namespace
}  // namespace mneme::testing
