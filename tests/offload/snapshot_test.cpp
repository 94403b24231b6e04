// A checkpoint that is written while leases, hints and victims go on holds every row as it was when
// the checkpoint began.
#include "offload/snapshot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "tests/offload/store_run.h"
#include "tests/simulated_disk/simulated_disk.h"
#include "tests/support/error_of.h"
#include "tests/support/test_backend.h"

namespace mneme::offload {
namespace {

using kernels::RowId;
using testing::bytes_for_slots;
using testing::small_store;
using testing::StoreRun;

constexpr std::uint64_t kRows = 300;

class SnapshotTest : public ::testing::Test {
 protected:
  static StoreOptions options(std::uint64_t device_slots, std::uint64_t host_slots) {
    StoreOptions options = small_store(kRows);
    options.tiers.device_bytes = bytes_for_slots(options, device_slots);
    options.tiers.host_bytes = host_slots * 128;
    options.save_bytes = 0;  // the fewest buffers
    return options;
  }

  // Hints some rows.
  static void hint(TieredStore& store, std::mt19937_64& random) {
    std::set<RowId> chosen;
    for (int i = 0; i < 20; ++i) chosen.insert(static_cast<RowId>(random() % kRows));
    const std::vector<RowId> rows(chosen.begin(), chosen.end());
    store.hint({.rows = rows, .byte_budget = 1 << 20});
    store.hint({.rows = rows, .byte_budget = 1 << 20, .tier = kernels::Place::kDevice});
  }

  // The row -> slot table of the store's last committed checkpoint.
  void add(const TableDelta& delta) {
    for (const TableEntry& entry : delta.entries) table_[entry.row] = entry;
    next_generation_ = delta.next_generation;
  }
  CheckpointTable table(std::uint64_t epoch) const {
    CheckpointTable table{epoch, {}, next_generation_};
    for (const auto& [row, entry] : table_) table.entries.push_back(entry);
    return table;
  }

  // Steps on random rows, with checkpoints behind some of them; each is restored by another store
  // once it is committed, and later ones while it is kept.
  void expect_checkpoints_hold(const StoreOptions& store_options, std::uint64_t seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    io::SimulatedDisk disk({.seed = seed, .record_log = false});
    disk.set_faults({.retry_share = 0.1, .reorder = true, .max_delay_polls = 3});
    TieredStore store(backend_, disk, store_options);
    StoreRun run(backend_, store, seed);
    table_.clear();
    std::uint64_t step = 0;
    for (std::uint64_t epoch = 1; epoch <= 6; ++epoch) {
      for (std::uint64_t i = random() % 4; i > 0; --i) run.step(++step, 90);
      const std::vector<std::byte> expected = run.all_records();
      store.begin_checkpoint();
      bool is_written = false;
      for (std::uint64_t i = random() % 6; i > 0; --i) {
        run.step(++step, 90);
        if (store_options.tiers.host_bytes > 0) hint(store, random);
        is_written = store.checkpoint_is_written();
      }
      if (!is_written || random() % 2 == 0) store.write_checkpoint();
      if (random() % 2 == 0) run.step(++step, 90);
      store.sync_checkpoint();
      add(delta_of(store.checkpoint_changes()));
      if (random() % 2 == 0) run.step(++step, 90);
      store.commit_checkpoint(epoch);
      if (epoch > 1) store.release_checkpoint(epoch - 1);
      run.step(++step, 90);
      store.finish_transfers();
      expect_records(disk, store_options, epoch, expected);
    }
  }

  void expect_records(io::SimulatedDisk& disk, StoreOptions options, std::uint64_t epoch,
                      const std::vector<std::byte>& expected) {
    const CheckpointTable kept = table(epoch);
    options.read_only = true;
    TieredStore reopened(backend_, disk, options);
    reopened.restore(std::span(&kept, 1), 0);
    StoreRun run(backend_, reopened, 1);
    EXPECT_TRUE(run.all_records() == expected) << "checkpoint " << epoch;
  }

  kernels::Backend& backend_ = mneme::testing::test_backend();
  std::map<RowId, TableEntry> table_;
  std::uint64_t next_generation_ = 0;
};

TEST_F(SnapshotTest, HoldsEveryRowAsItWasWhenItBegan) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    expect_checkpoints_hold(options(100, 60), seed);
  }
}

TEST_F(SnapshotTest, WithoutAHostTierToo) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    expect_checkpoints_hold(options(60, 0), seed);
  }
}

TEST_F(SnapshotTest, OnSeveralDisksToo) {
  StoreOptions several = options(80, 40);
  several.paths = {"/a/table.rows", "/b/table.rows", "/c/table.rows"};
  for (std::uint64_t seed = 1; seed <= 4; ++seed) expect_checkpoints_hold(several, seed);
}

TEST_F(SnapshotTest, InAFullFileToo) {
  // Every row three times: in two checkpoints, and as it is now.
  StoreOptions limited = options(60, 40);
  limited.tiers.disk_bytes = 4096 + 3 * kRows * 512;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) expect_checkpoints_hold(limited, seed);
}

// The last rows of a checkpoint are taken, and their copies still under way, when a lease comes
// that changes them: nothing is left for it to save, and yet it has to wait. So many wide rows take
// milliseconds, and the lease is of the last of them.
using SnapshotOrderTest = SnapshotTest;
TEST_F(SnapshotOrderTest, WorkOnRowsWaitsForTheLastCopiesOfThem) {
  constexpr std::int64_t kTable = 6000, kMany = 1200, kLast = 8;
  StoreOptions wide = small_store(kTable);
  wide.layout = kernels::RecordLayout::of({.columns = kernels::ColumnRange::all(1024)});
  wide.tiers.device_bytes = bytes_for_slots(wide, 2 * kTable);
  wide.tiers.host_bytes = 0;
  wide.save_bytes = 1 << 30;  // a quarter of the buffers takes all that are dirty at once
  io::SimulatedDisk disk({.record_log = false});
  TieredStore store(backend_, disk, wide);
  const auto compute = backend_.create_stream();
  const auto rows = kernels::pinned_array<RowId>(backend_, kMany);
  std::iota(rows.data(), rows.data() + kMany, RowId{0});
  const std::size_t record_bytes = wide.layout.record_bytes();
  const kernels::Buffer changed =
      backend_.allocate(record_bytes * kLast, kernels::MemoryKind::kPinnedHost);
  std::memset(changed.as<void>(), 0, record_bytes * kLast);
  store.prepare_checkpoints();

  store.begin_step(1);
  store.acquire(*compute, {.rows = rows.data(), .count = kMany, .mode = LeaseMode::kTrain}, {})
      .mark_dirty();
  StoreRun run(backend_, store, 5);
  const std::vector<std::byte> expected = run.all_records();

  store.begin_checkpoint();
  store.checkpoint_is_written();  // copies are queued for all of them
  store.begin_step(2);
  {
    Lease lease = store.acquire(
        *compute, {.rows = rows.data() + kMany - kLast, .count = kLast, .mode = LeaseMode::kTrain},
        {});
    backend_.unpack_records(
        *compute, lease.arena(),
        kernels::HostRecords::in_one_piece(changed.as<std::byte>(), record_bytes), nullptr,
        lease.slots(), kLast);
    lease.mark_dirty();
  }
  compute->synchronize();
  store.write_checkpoint();
  store.sync_checkpoint();
  table_.clear();
  add(delta_of(store.checkpoint_changes()));
  store.commit_checkpoint(1);
  expect_records(disk, wide, 1, expected);
}

TEST_F(SnapshotTest, WritesWhatWasDirtyOnceAndNothingElse) {
  io::SimulatedDisk disk({.record_log = false});
  StoreOptions all_in_memory = options(300, 0);
  all_in_memory.save_bytes = 1 << 20;
  TieredStore store(backend_, disk, all_in_memory);
  StoreRun run(backend_, store, 3);
  for (std::uint64_t step = 1; step <= 3; ++step) run.step(step, 90);
  const std::uint64_t dirty = store.touched_rows().size();
  store.take_books();
  store.begin_checkpoint();
  for (std::uint64_t step = 4; step <= 6; ++step) run.step(step, 90);
  store.write_checkpoint();
  EXPECT_TRUE(store.checkpoint_is_written());
  EXPECT_EQ(store.take_books().total(Cause::kCheckpoint)[Field::kDeviceToDiskRows], dirty);
  EXPECT_EQ(delta_of(store.checkpoint_changes()).entries.size(), dirty);
  store.commit_checkpoint(1);
  // What changed since then belongs to the next one.
  EXPECT_LT(store.flush().entries.size(), store.touched_rows().size());
}

TEST_F(SnapshotTest, ThatFailsStopsTheStoreAndIsNamed) {
  for (const bool at_sync : {false, true}) {
    io::SimulatedDisk disk({.record_log = false});
    TieredStore store(backend_, disk, options(300, 0));
    StoreRun run(backend_, store, 3);
    run.step(1, 90);
    store.begin_checkpoint();
    disk.set_faults({.fail_write = at_sync ? 0u : 3u, .fail_sync = at_sync ? 1u : 0u});
    std::string error = mneme::testing::error_of([&] {
      store.write_checkpoint();
      store.sync_checkpoint();
    });
    EXPECT_NE(error.find("/run/rows/table-0.rows"), error.npos) << error;
    error = mneme::testing::error_of([&] { run.step(2, 90); });
    EXPECT_NE(error.find("/run/rows/table-0.rows"), error.npos) << error;
  }
}

}  // namespace
}  // namespace mneme::offload
