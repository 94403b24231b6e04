// Tiering never changes results: any budgets, policies, depths, faults of the disk and prefetches
// give the same records, bit for bit.
#include "offload/tiered_store.h"

#include <gtest/gtest.h>

#include <string>
#include <tuple>

#include "tests/offload/store_run.h"
#include "tests/support/test_backend.h"
#include "tests/support/transfer.h"

namespace mneme::offload {
namespace {

using kernels::ReplacementKind;
using mneme::testing::read_device;
using testing::bytes_for_slots;
using testing::small_store;
using testing::StoreRun;

constexpr std::uint64_t kRows = 300;
constexpr std::uint64_t kSteps = 40;
constexpr std::uint64_t kSeed = 5;

class TieredStoreTest : public ::testing::Test {
 protected:
  std::vector<std::byte> run(const StoreOptions& options, io::SimulatedDisk& disk,
                             Entry* counters = nullptr, bool prefetch = false) {
    TieredStore store(backend_, disk, options);
    StoreRun run(backend_, store, kSeed);
    for (std::uint64_t step = 1; step <= kSteps; ++step) {
      run.step(step, 90);
      if (prefetch) {
        std::vector<kernels::RowId> rows;
        for (kernels::RowId row = step % 3; row < kRows; row += 3) rows.push_back(row);
        store.hint({.rows = rows, .byte_budget = 1 << 20});
      }
    }
    store.begin_step(kSteps + 1);
    if (counters != nullptr) *counters = store.books().total();
    return run.all_records();
  }

  std::vector<std::byte> reference() { return reference(small_store(kRows)); }
  std::vector<std::byte> reference(const StoreOptions& options) {
    io::SimulatedDisk disk({.record_log = false});
    Entry counters;
    auto records = run(options, disk, &counters);
    EXPECT_EQ(counters.disk_rows_written() + counters[Field::kDeviceToHostRows], 0u)
        << "the reference keeps all rows on the device";
    return records;
  }

  kernels::Backend& backend_ = mneme::testing::test_backend();
};

TEST_F(TieredStoreTest, AnyBudgetGivesTheSameRecords) {
  const auto expected = reference();
  for (const std::uint64_t device_slots : {8u, 13u, 40u, 120u}) {
    for (const std::uint64_t host_slots : {0u, 16u, 60u}) {
      StoreOptions options = small_store(kRows);
      options.tiers.device_bytes = bytes_for_slots(options, device_slots);
      options.tiers.host_bytes = host_slots * ((options.layout.record_bytes() + 63) / 64 * 64);
      io::SimulatedDisk disk({.record_log = false});
      Entry counters;
      SCOPED_TRACE(::testing::Message() << device_slots << " device, " << host_slots << " host");
      EXPECT_EQ(run(options, disk, &counters), expected);
      EXPECT_GT(counters.disk_rows_read(), 0u);
      EXPECT_GT(counters.disk_rows_written(), 0u);
      // Every leased row was found somewhere.
      EXPECT_EQ(counters[Field::kRowsLeased],
                counters[Field::kFoundOnDevice] + counters[Field::kFoundInHost] +
                    counters[Field::kFoundOnDisk] + counters[Field::kFoundUntouched]);
    }
  }
}

// u and v of one machine of two: the second half of the columns, with moments and with a sum.
TEST_F(TieredStoreTest, RowsOfTwoPartsAndSomeOfTheirColumnsGoThroughEveryTier) {
  StoreOptions options = small_store(kRows);
  options.layout.part_count = 2;
  options.layout.parts[0] = {.columns = {32, 32, 64}};
  options.layout.parts[1] = {.columns = {32, 32, 64}, .moments = false, .sum = true};
  options.initial_standard_deviation[1] = 0.25f;
  options.tiers.device_bytes = 8 << 20;
  const auto expected = reference(options);
  options.tiers.device_bytes = bytes_for_slots(options, 13);
  options.tiers.host_bytes = 16 * ((options.layout.record_bytes() + 63) / 64 * 64);
  io::SimulatedDisk disk({.record_log = false});
  Entry counters;
  EXPECT_EQ(run(options, disk, &counters), expected);
  EXPECT_GT(counters.disk_rows_read(), 0u);
  EXPECT_GT(counters[Field::kHostToDeviceRows], 0u);
}

TEST_F(TieredStoreTest, EveryPolicyGivesTheSameRecords) {
  const auto expected = reference();
  for (const auto policy :
       {ReplacementKind::kLru, ReplacementKind::kLfu, ReplacementKind::kClock,
        ReplacementKind::kSieve, ReplacementKind::kStaticHot, ReplacementKind::kRandom}) {
    StoreOptions options = small_store(kRows);
    options.tiers.device_bytes = bytes_for_slots(options, 30);
    options.tiers.host_bytes = 20 * 128;
    options.tiers.device_policy = policy;
    options.tiers.host_policy = policy;
    io::SimulatedDisk disk({.record_log = false});
    SCOPED_TRACE(static_cast<int>(policy));
    EXPECT_EQ(run(options, disk), expected);
  }
}

TEST_F(TieredStoreTest, DepthReorderingShortTransfersAndRetriesGiveTheSameRecords) {
  const auto expected = reference();
  for (const std::uint32_t depth : {1u, 3u, 64u}) {
    StoreOptions options = small_store(kRows);
    options.tiers.device_bytes = bytes_for_slots(options, 10);
    options.tiers.host_bytes = 16 * 128;
    options.tiers.io_depth = depth;
    io::SimulatedDisk disk({.seed = depth, .record_log = false});
    disk.set_faults(
        {.short_share = 0.2, .retry_share = 0.1, .reorder = true, .max_delay_polls = 3});
    Entry counters;
    SCOPED_TRACE(depth);
    EXPECT_EQ(run(options, disk, &counters), expected);
    EXPECT_GT(counters[Field::kDiskRetries], 0u);
  }
}

TEST_F(TieredStoreTest, PrefetchedRowsAreTheSameRowsAndAreCounted) {
  const auto expected = reference();
  StoreOptions options = small_store(kRows);
  options.tiers.device_bytes = bytes_for_slots(options, 20);
  options.tiers.host_bytes = 60 * 128;
  io::SimulatedDisk disk({.record_log = false});
  disk.set_faults({.reorder = true, .max_delay_polls = 4});
  Entry counters;
  EXPECT_EQ(run(options, disk, &counters, true), expected);
  EXPECT_GT(counters[Field::kHintsPlanned], 0u);
  EXPECT_GT(counters[Field::kHintsUsed], 0u);
  EXPECT_LE(counters[Field::kHintsUsed] + counters[Field::kHintsWasted],
            counters[Field::kHintsPlanned] - counters[Field::kHintsPromoted]);
  EXPECT_EQ(counters[Field::kHinted], counters[Field::kHintsPresent] +
                                          counters[Field::kHintsPlanned] +
                                          counters[Field::kHintsDropped]);
}

TEST_F(TieredStoreTest, ReadOnlyLeasesLeaveEveryTierAsItIs) {
  StoreOptions options = small_store(kRows);
  options.tiers.device_bytes = bytes_for_slots(options, 20);
  options.tiers.host_bytes = 20 * 128;
  io::SimulatedDisk disk({.record_log = false});
  TieredStore store(backend_, disk, options);
  StoreRun run(backend_, store, kSeed);
  for (std::uint64_t step = 1; step <= 10; ++step) run.step(step, 90);
  store.begin_step(11);
  const TierUse before = store.tier_use();
  store.take_books();
  const auto touched = store.touched_rows();
  const auto first = run.all_records();
  EXPECT_EQ(run.all_records(), first);
  const TierUse after = store.tier_use();
  EXPECT_EQ(after.device_rows, before.device_rows);
  EXPECT_EQ(after.host_rows, before.host_rows);
  EXPECT_EQ(after.disk_slots, before.disk_slots);
  EXPECT_EQ(store.touched_rows(), touched);
  const Entry moved = store.books().total();
  EXPECT_EQ(moved[Field::kDeviceVictims], 0u);
  EXPECT_EQ(moved.disk_rows_written(), 0u);
}

TEST_F(TieredStoreTest, ALeasedRowIsNeverAVictim) {
  StoreOptions options = small_store(kRows);
  options.tiers.device_bytes = bytes_for_slots(options, 10);
  io::SimulatedDisk disk({.record_log = false});
  TieredStore store(backend_, disk, options);
  auto stream = backend_.create_stream();
  store.begin_step(1);
  kernels::Buffer ids = backend_.allocate(40, kernels::MemoryKind::kPinnedHost);
  for (std::uint32_t i = 0; i < 10; ++i) ids.as<kernels::RowId>()[i] = i * 7;
  Lease held = store.acquire(
      *stream, {.rows = ids.as<kernels::RowId>(), .count = 4, .mode = LeaseMode::kTrain}, {});
  stream->synchronize();
  const auto slots = read_device(backend_, *stream, held.slots(), 4);
  EXPECT_EQ(store.lease_capacity(LeaseMode::kTrain), 6);
  for (std::uint32_t round = 0; round < 20; ++round) {
    for (std::uint32_t i = 0; i < 6; ++i) ids.as<kernels::RowId>()[4 + i] = 50 + round * 8 + i;
    Lease other = store.acquire(
        *stream, {.rows = ids.as<kernels::RowId>() + 4, .count = 6, .mode = LeaseMode::kTrain}, {});
    stream->synchronize();
    for (const auto slot : read_device(backend_, *stream, other.slots(), 6)) {
      EXPECT_EQ(std::count(slots.begin(), slots.end(), slot), 0);
    }
  }
}

TEST_F(TieredStoreTest, ReopeningFromACheckpointGivesItsRecords) {
  StoreOptions options = small_store(kRows);
  options.tiers.device_bytes = bytes_for_slots(options, 20);
  options.tiers.host_bytes = 16 * 128;
  io::SimulatedDisk disk({.record_log = false});
  CheckpointTable table;
  std::vector<std::byte> expected;
  {
    TieredStore store(backend_, disk, options);
    StoreRun run(backend_, store, kSeed);
    for (std::uint64_t step = 1; step <= 10; ++step) run.step(step, 60);
    const TableDelta delta = store.flush();
    store.commit_checkpoint(10);
    expected = run.all_records();
    table = {10, delta.entries, delta.next_generation};
    // Work after the checkpoint must not harm it.
    for (std::uint64_t step = 11; step <= 30; ++step) run.step(step, 60);
    EXPECT_NE(run.all_records(), expected);
  }
  TieredStore reopened(backend_, disk, options);
  reopened.restore(std::span(&table, 1), 0);
  StoreRun run(backend_, reopened, kSeed);
  EXPECT_EQ(run.all_records(), expected);
}

TEST_F(TieredStoreTest, AFlushWritesOnlyWhatChanged) {
  StoreOptions options = small_store(kRows);
  io::SimulatedDisk disk({.record_log = false});
  TieredStore store(backend_, disk, options);
  StoreRun run(backend_, store, kSeed);
  run.step(1, 50);
  const std::size_t first = store.flush().entries.size();
  EXPECT_EQ(first, store.touched_rows().size());
  EXPECT_EQ(first, store.tier_use().touched_rows);
  store.commit_checkpoint(1);
  EXPECT_TRUE(store.flush().entries.empty());
  store.commit_checkpoint(2);
  run.step(3, 5);
  EXPECT_LE(store.flush().entries.size(), 5u);
}

TEST_F(TieredStoreTest, AHugeUntouchedTableCostsNothing) {
  StoreOptions options = small_store(8192ull * 8192ull);
  options.layout = kernels::RecordLayout::of({.columns = kernels::ColumnRange::all(2048)});
  options.paths = {"/run/rows/huge.rows"};
  io::SimulatedDisk disk;
  // On the device the table takes 4 bytes a row.
  const auto backend = mneme::testing::make_test_backend({.device_bytes = std::size_t{640} << 20});
  TieredStore store(*backend, disk, options);
  EXPECT_EQ(store.options().rows, 67108864u);
  EXPECT_EQ(disk.operation_count(), 0u) << "nothing is written";
  auto stream = backend->create_stream();
  kernels::Buffer ids = backend->allocate(8, kernels::MemoryKind::kPinnedHost);
  ids.as<kernels::RowId>()[0] = 1;
  ids.as<kernels::RowId>()[1] = 67108863;
  store.begin_step(1);
  const Lease lease = store.acquire(
      *stream, {.rows = ids.as<kernels::RowId>(), .count = 2, .mode = LeaseMode::kTrain}, {});
  stream->synchronize();
  EXPECT_EQ(store.tier_use().device_rows, 2u);
  EXPECT_EQ(store.tier_use().touched_rows, 2u);
  EXPECT_EQ(store.books().total()[Field::kGeneratedRows], 2u);
}

}  // namespace
}  // namespace mneme::offload
