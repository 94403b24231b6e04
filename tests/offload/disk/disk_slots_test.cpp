// Slots of the rows file when it may not grow: what nothing needs any more serves others, and what
// is needed stays.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "io/error.h"
#include "tests/offload/store_run.h"
#include "tests/support/test_backend.h"

namespace mneme::offload {
namespace {

using testing::bytes_for_slots;
using testing::small_store;
using testing::StoreRun;

constexpr std::uint64_t kSlotBytes = 512;

class DiskSlots : public ::testing::Test {
 protected:
  // No host tier: a device victim that has changed goes to the disk.
  static StoreOptions store_of(std::uint64_t device_slots, std::uint64_t disk_slots) {
    StoreOptions options = small_store(200);
    options.tiers.device_bytes = bytes_for_slots(options, device_slots);
    options.tiers.host_bytes = 0;
    options.tiers.disk_bytes = disk_slots * kSlotBytes;
    return options;
  }

  // A step that changes `count` rows from `first` on.
  void change(TieredStore& store, std::uint64_t step, kernels::RowId first, std::uint32_t count) {
    const auto stream = backend_.create_stream();
    const kernels::Buffer rows =
        backend_.allocate(count * sizeof(kernels::RowId), kernels::MemoryKind::kPinnedHost);
    for (std::uint32_t i = 0; i < count; ++i) rows.as<kernels::RowId>()[i] = first + i;
    store.begin_step(step);
    Lease lease = store.acquire(
        *stream, {.rows = rows.as<kernels::RowId>(), .count = count, .mode = LeaseMode::kTrain},
        {});
    lease.mark_dirty();
  }

  kernels::Backend& backend_ = mneme::testing::test_backend();
  io::SimulatedDisk disk_{{.record_log = false}};
};

// Rows that have come back from the disk and changed leave slots there that nothing needs.
TEST_F(DiskSlots, OfChangedRowsServeOthersBeforeTheDiskIsFull) {
  StoreOptions options = store_of(60, 130);
  options.tiers.host_bytes = 40 * 128;
  TieredStore store(backend_, disk_, options);
  StoreRun run(backend_, store, 3);
  for (std::uint64_t step = 1; step <= 60; ++step) run.step(step, 60);
  EXPECT_EQ(store.tier_use().touched_rows, 200u);
  EXPECT_LE(store.tier_use().disk_slots, 130u);
  io::SimulatedDisk roomy({.record_log = false});
  options.tiers.disk_bytes = 0;
  TieredStore other(backend_, roomy, options);
  StoreRun same(backend_, other, 3);
  for (std::uint64_t step = 1; step <= 60; ++step) same.step(step, 60);
  EXPECT_EQ(run.all_records(), same.all_records());
}

TEST_F(DiskSlots, WhoseWritesAreOnTheirWayAreReclaimedToo) {
  TieredStore store(backend_, disk_, store_of(30, 8));
  change(store, 1, 0, 30);
  change(store, 2, 30, 4);  // writes four rows
  change(store, 3, 0, 4);   // brings them back, writes four others
  change(store, 4, 34, 4);  // needs the slots of the first four
  EXPECT_EQ(store.tier_use().disk_slots, 8u);
}

// The rows of a checkpoint under way are still marked as changed when the disk runs full.
TEST_F(DiskSlots, ThatAFlushHasJustWrittenAreNotReclaimed) {
  TieredStore store(backend_, disk_, store_of(60, 60));
  change(store, 1, 0, 40);
  store.flush();
  store.commit_checkpoint(1);
  change(store, 2, 0, 40);
  std::string message;
  try {
    store.flush();
  } catch (const io::Error& error) {
    message = error.what();
  }
  EXPECT_NE(message.find("tiers.disk_bytes"), std::string::npos) << message;
  EXPECT_THROW(store.commit_checkpoint(2), io::Error) << "after a flush that failed";
}

// Without a rows file one slot has to stay free for rows to change places.
TEST_F(DiskSlots, AreNotNeededByWhatFitsIntoMemory) {
  for (const std::uint64_t rows : {90u, 99u, 100u}) {
    StoreOptions options = small_store(rows);
    options.tiers.device_bytes = bytes_for_slots(options, 60);
    options.tiers.host_bytes = 40 * 128;
    options.paths = {};
    TieredStore store(backend_, disk_, options);
    EXPECT_EQ(store.tier_use().device_slots + store.tier_use().host_slots, 100u);
    StoreRun run(backend_, store, 3);
    const auto steps = [&] {
      for (std::uint64_t step = 1; step <= 60; ++step) run.step(step, 50);
    };
    SCOPED_TRACE(rows);
    if (rows < 100) {
      steps();
    } else {
      EXPECT_THROW(steps(), io::Error);
    }
  }
}

}  // namespace
}  // namespace mneme::offload
