// Failures are errors that name the row, the tier and the file, and harm no committed checkpoint.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "io/error.h"
#include "tests/offload/store_run.h"
#include "tests/support/test_backend.h"

namespace mneme::offload {
namespace {

using testing::bytes_for_slots;
using testing::small_store;
using testing::StoreRun;

class TieredStoreErrors : public ::testing::Test {
 protected:
  // All rows go through the disk: a tiny device tier and no host tier.
  static StoreOptions disk_heavy() {
    StoreOptions options = small_store(200);
    options.tiers.device_bytes = bytes_for_slots(options, 8);
    options.tiers.host_bytes = 0;
    return options;
  }

  // The message of the Error that `body` throws.
  template <typename Body>
  static std::string error_of(Body body) {
    try {
      body();
    } catch (const io::Error& error) {
      const std::string text = error.what();
      EXPECT_EQ(text.find('\n'), std::string::npos) << "one line";
      return text;
    }
    ADD_FAILURE() << "no Error";
    return {};
  }

  // Checkpoints after step 5, then lets `break_disk` loose while steps go on; the error's text.
  template <typename BreakDisk>
  std::string fail_after_checkpoint(io::SimulatedDisk& disk, BreakDisk break_disk) {
    const StoreOptions options = disk_heavy();
    std::string message;
    {
      TieredStore store(backend_, disk, options);
      StoreRun run(backend_, store, 3);
      for (std::uint64_t step = 1; step <= 5; ++step) run.step(step, 60);
      const TableDelta delta = store.flush();
      store.commit_checkpoint(5);
      expected_ = run.all_records();
      table_ = {5, delta.entries, delta.next_generation};
      break_disk(disk);
      message = error_of([&] {
        for (std::uint64_t step = 6; step <= 50; ++step) run.step(step, 60);
        store.flush();
      });
      // Nothing goes on as if nothing had happened.
      EXPECT_FALSE(error_of([&] { run.step(51, 10); }).empty());
      EXPECT_FALSE(error_of([&] { store.flush(); }).empty());
    }
    disk.set_faults({});
    return message;
  }

  void expect_checkpoint_intact(io::SimulatedDisk& disk) {
    TieredStore reopened(backend_, disk, disk_heavy());
    reopened.restore(std::span(&table_, 1), 0);
    StoreRun run(backend_, reopened, 3);
    EXPECT_EQ(run.all_records(), expected_);
  }

  // A stream of a device that is lost when told to.
  class LostStream final : public kernels::Stream {
   public:
    explicit LostStream(kernels::Backend& backend) : stream_(backend.create_stream()) {}
    void record(kernels::Event& event) override {
      if (records_are_lost) io::fail("the device is lost");
      stream_->record(event);
    }
    void wait(kernels::Event& event) override {
      if (waits_are_lost) io::fail("the device is lost");
      stream_->wait(event);
    }
    void synchronize() override { stream_->synchronize(); }
    void run_on_host(std::function<void()> work) override { stream_->run_on_host(std::move(work)); }

    bool records_are_lost = false, waits_are_lost = false;

   private:
    std::unique_ptr<kernels::Stream> stream_;
  };

  // Rows 0, 1, 2, ... for leases.
  kernels::Buffer first_rows(std::size_t count) {
    kernels::Buffer rows = backend_.allocate(count * 4, kernels::MemoryKind::kPinnedHost);
    for (std::uint32_t i = 0; i < count; ++i) rows.as<kernels::RowId>()[i] = i;
    return rows;
  }

  // Queues work that fails when it runs, for a token outside the vocabulary.
  static void fail(kernels::Backend& backend, kernels::Stream& stream, const kernels::Buffer& out) {
    static const std::int32_t kNoToken = -1;
    backend.embedding(stream, {.tokens = &kNoToken,
                               .table = out.as<float>(),
                               .out = out.as<float>(),
                               .count = 1,
                               .width = 1,
                               .vocabulary = 1});
  }

  kernels::Backend& backend_ = mneme::testing::test_backend();
  CheckpointTable table_;
  std::vector<std::byte> expected_;
};

TEST_F(TieredStoreErrors, AFailedWriteStopsTheStoreAndHarmsNoCheckpoint) {
  io::SimulatedDisk disk({.record_log = false});
  const std::string message =
      fail_after_checkpoint(disk, [](auto& d) { d.set_faults({.fail_write = 30}); });
  EXPECT_NE(message.find("table-0.rows"), std::string::npos) << message;
  EXPECT_NE(message.find("row "), std::string::npos) << message;
  expect_checkpoint_intact(disk);
}

TEST_F(TieredStoreErrors, AFailedReadNamesRowSlotAndFile) {
  io::SimulatedDisk disk({.record_log = false});
  const std::string message =
      fail_after_checkpoint(disk, [](auto& d) { d.set_faults({.fail_read = 30}); });
  EXPECT_NE(message.find("table-0.rows"), std::string::npos) << message;
  EXPECT_NE(message.find("row "), std::string::npos) << message;
  expect_checkpoint_intact(disk);
}

TEST_F(TieredStoreErrors, AFailedSyncStopsTheStore) {
  io::SimulatedDisk disk({.record_log = false});
  const std::string message =
      fail_after_checkpoint(disk, [](auto& d) { d.set_faults({.fail_sync = 1}); });
  EXPECT_NE(message.find("table-0.rows"), std::string::npos) << message;
  expect_checkpoint_intact(disk);
}

TEST_F(TieredStoreErrors, AFullDiskSaysSoAndHarmsNoCheckpoint) {
  io::SimulatedDisk disk({.record_log = false});
  StoreOptions options = disk_heavy();
  disk.set_faults({.capacity_bytes = 64 * 1024});
  TieredStore store(backend_, disk, options);
  StoreRun run(backend_, store, 3);
  run.step(1, 30);
  const TableDelta delta = store.flush();
  store.commit_checkpoint(1);
  const auto expected = run.all_records();
  const std::string message = error_of([&] {
    for (std::uint64_t step = 2; step < 100; ++step) run.step(step, 100);
  });
  EXPECT_NE(message.find("table-0.rows"), std::string::npos) << message;
  EXPECT_NE(message.find("bytes"), std::string::npos) << message;
  disk.set_faults({});
  TieredStore reopened(backend_, disk, options);
  const CheckpointTable table{1, delta.entries, delta.next_generation};
  reopened.restore(std::span(&table, 1), 0);
  StoreRun again(backend_, reopened, 3);
  EXPECT_EQ(again.all_records(), expected);
}

// A lease may end while the device's error unwinds the step: its own failure must not end the
// process.
TEST_F(TieredStoreErrors, ADeviceLostWhileALeaseEndsIsTheNextCallsError) {
  for (const LeaseMode mode : {LeaseMode::kTrain, LeaseMode::kReadOnly}) {
    io::SimulatedDisk disk({.record_log = false});
    TieredStore store(backend_, disk, small_store(200));
    LostStream stream(backend_);
    const kernels::Buffer rows = first_rows(5);
    const std::int64_t capacity = store.lease_capacity(mode);
    {
      const Lease lease =
          store.acquire(stream, {.rows = rows.as<kernels::RowId>(), .count = 5, .mode = mode}, {});
      stream.records_are_lost = true;
    }
    EXPECT_EQ(store.lease_capacity(mode), capacity);
    stream.records_are_lost = false;
    const auto again = [&] {
      store.acquire(stream, {.rows = rows.as<kernels::RowId>(), .count = 5, .mode = mode}, {});
    };
    EXPECT_NE(error_of(again).find("lost"), std::string::npos);
    EXPECT_NE(error_of([&] { store.flush(); }).find("lost"), std::string::npos);
  }
}

TEST_F(TieredStoreErrors, ADeviceLostWhileALeaseBeginsLeavesNoLease) {
  io::SimulatedDisk disk({.record_log = false});
  TieredStore store(backend_, disk, small_store(200));
  LostStream stream(backend_);
  const kernels::Buffer rows = first_rows(5);
  const std::int64_t capacity = store.lease_capacity(LeaseMode::kTrain);
  stream.waits_are_lost = true;
  const auto acquire = [&] {
    store.acquire(stream,
                  {.rows = rows.as<kernels::RowId>(), .count = 5, .mode = LeaseMode::kTrain}, {});
  };
  EXPECT_NE(error_of(acquire).find("lost"), std::string::npos);
  EXPECT_EQ(store.lease_capacity(LeaseMode::kTrain), capacity);
}

// On the CPU backend, which skips what failed work was to hand over: rows that nobody has written
// are neither looked up nor paged in, and the store does not go on as if they had been.
TEST_F(TieredStoreErrors, AFailureOfTheCallersWorkIsTheLeasesError) {
  io::SimulatedDisk disk({.record_log = false});
  const auto backend = kernels::make_cpu_backend({.threads = 2});
  TieredStore store(*backend, disk, small_store(200));
  const auto compute = backend->create_stream();
  const kernels::Buffer rows = backend->allocate(4 * 5, kernels::MemoryKind::kDevice);
  fail(*backend, *compute, rows);
  const auto acquire = [&] {
    store.acquire(*compute,
                  {.rows = rows.as<kernels::RowId>(), .count = 5, .mode = LeaseMode::kTrain}, {});
  };
  EXPECT_NE(error_of(acquire).find("token"), std::string::npos);
  EXPECT_NE(error_of([&] { store.flush(); }).find("token"), std::string::npos);
  EXPECT_THROW(compute->synchronize(), io::Error);
}

// Whoever hears of the failure first: the store has stopped.
TEST_F(TieredStoreErrors, AFailureUnderALeaseStopsTheStoreWhateverIsCalledNext) {
  const std::vector<std::function<void(TieredStore&)>> calls = {
      [](TieredStore& store) { store.books(); }, [](TieredStore& store) { store.tier_use(); },
      [](TieredStore& store) { static_cast<void>(store.touched_rows()); },
      [](TieredStore& store) {
        const kernels::RowId row = 0;
        store.hint({.rows = {&row, 1}, .byte_budget = 1 << 10});
      }};
  for (const auto& call : calls) {
    io::SimulatedDisk disk({.record_log = false});
    const auto backend = kernels::make_cpu_backend({.threads = 2});
    TieredStore store(*backend, disk, small_store(200));
    const auto compute = backend->create_stream();
    const kernels::Buffer rows = backend->allocate(4 * 5, kernels::MemoryKind::kDevice);
    {
      const Lease lease = store.acquire(
          *compute, {.rows = rows.as<kernels::RowId>(), .count = 1, .mode = LeaseMode::kTrain}, {});
      fail(*backend, *compute, rows);
    }
    EXPECT_NE(error_of([&] { call(store); }).find("token"), std::string::npos);
    EXPECT_NE(error_of([&] { store.flush(); }).find("token"), std::string::npos);
    EXPECT_THROW(compute->synchronize(), io::Error);
  }
}

TEST_F(TieredStoreErrors, ALimitOnTheRowsFileIsKept) {
  io::SimulatedDisk disk({.record_log = false});
  StoreOptions options = disk_heavy();
  options.tiers.disk_bytes = 32 * 1024;
  TieredStore store(backend_, disk, options);
  StoreRun run(backend_, store, 3);
  const std::string message = error_of([&] {
    for (std::uint64_t step = 1; step < 100; ++step) run.step(step, 100);
  });
  EXPECT_NE(message.find("tiers.disk_bytes"), std::string::npos) << message;
}

TEST_F(TieredStoreErrors, ADamagedRecordIsAnErrorThatNamesIt) {
  io::SimulatedDisk disk({.record_log = false});
  const StoreOptions options = disk_heavy();
  CheckpointTable table;
  {
    TieredStore store(backend_, disk, options);
    StoreRun run(backend_, store, 3);
    run.step(1, 60);
    const TableDelta delta = store.flush();
    store.commit_checkpoint(1);
    table = {1, delta.entries, delta.next_generation};
  }
  // One bit in each of a few slots; slot 0 starts after the header block.
  for (std::uint64_t slot = 0; slot < 5; ++slot) {
    disk.corrupt(options.paths[0], 4096 + slot * 512 + 100, 3);
  }
  TieredStore reopened(backend_, disk, options);
  reopened.restore(std::span(&table, 1), 0);
  StoreRun run(backend_, reopened, 3);
  const std::string message = error_of([&] { run.all_records(); });
  EXPECT_NE(message.find("damaged"), std::string::npos) << message;
  EXPECT_NE(message.find("row "), std::string::npos) << message;
}

TEST_F(TieredStoreErrors, ADamagedRecordThatAPrefetchBringsIsAnErrorToo) {
  io::SimulatedDisk disk({.record_log = false});
  StoreOptions options = disk_heavy();
  options.tiers.host_bytes = 40 * 128;
  CheckpointTable table;
  {
    TieredStore store(backend_, disk, options);
    StoreRun run(backend_, store, 3);
    run.step(1, 60);
    const TableDelta delta = store.flush();
    store.commit_checkpoint(1);
    table = {1, delta.entries, delta.next_generation};
  }
  for (std::uint64_t slot = 0; slot < 8; ++slot) {
    disk.corrupt(options.paths[0], 4096 + slot * 512 + 100, 3);
  }
  disk.set_faults({.reorder = true, .max_delay_polls = 5});
  TieredStore reopened(backend_, disk, options);
  reopened.restore(std::span(&table, 1), 0);
  StoreRun run(backend_, reopened, 3);
  const std::string message = error_of([&] {
    for (std::uint64_t step = 2; step < 20; ++step) {
      {
        const std::vector<kernels::RowId> touched = reopened.touched_rows();
        reopened.hint({.rows = touched, .byte_budget = 1 << 20});
      }
      run.step(step, 60);
    }
  });
  EXPECT_NE(message.find("damaged"), std::string::npos) << message;
  EXPECT_FALSE(error_of([&] { run.step(20, 10); }).empty());
}

TEST_F(TieredStoreErrors, ATableEntryThatPointsToAnotherRowsSlotIsFound) {
  io::SimulatedDisk disk({.record_log = false});
  const StoreOptions options = disk_heavy();
  CheckpointTable table;
  {
    TieredStore store(backend_, disk, options);
    StoreRun run(backend_, store, 3);
    run.step(1, 60);
    const TableDelta delta = store.flush();
    table = {1, delta.entries, delta.next_generation};
    ASSERT_GE(table.entries.size(), 2u);
  }
  std::swap(table.entries[0].slot, table.entries[1].slot);
  std::swap(table.entries[0].generation, table.entries[1].generation);
  TieredStore reopened(backend_, disk, options);
  reopened.restore(std::span(&table, 1), 0);
  StoreRun run(backend_, reopened, 3);
  EXPECT_NE(error_of([&] { run.all_records(); }).find("damaged"), std::string::npos);
}

TEST_F(TieredStoreErrors, ATruncatedRowsFileIsFoundAtOpening) {
  io::SimulatedDisk disk({.record_log = false});
  const StoreOptions options = disk_heavy();
  CheckpointTable table;
  {
    TieredStore store(backend_, disk, options);
    StoreRun run(backend_, store, 3);
    run.step(1, 60);
    const TableDelta delta = store.flush();
    table = {1, delta.entries, delta.next_generation};
  }
  disk.open(options.paths[0], {})->truncate(4096 + 1024);
  TieredStore reopened(backend_, disk, options);
  const std::string message = error_of([&] { reopened.restore(std::span(&table, 1), 0); });
  EXPECT_NE(message.find("truncated"), std::string::npos) << message;
  // No rows are made anew in the place of those that could not be restored.
  StoreRun run(backend_, reopened, 3);
  EXPECT_EQ(error_of([&] { run.step(2, 10); }), message);
  EXPECT_EQ(error_of([&] { reopened.flush(); }), message);
}

TEST_F(TieredStoreErrors, ABudgetBelowTheMinimumSaysHowManyBytesAreNeeded) {
  io::SimulatedDisk disk;
  StoreOptions options = small_store(200);
  for (const std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{100}}) {
    options.tiers.device_bytes = bytes;
    const std::string message = error_of([&] { TieredStore store(backend_, disk, options); });
    EXPECT_NE(message.find("tiers.device_bytes"), std::string::npos) << message;
    EXPECT_NE(message.find(std::to_string(minimum_device_bytes(options.layout))), std::string::npos)
        << message;
  }
  options.tiers.device_bytes = minimum_device_bytes(options.layout);
  TieredStore store(backend_, disk, options);
  StoreRun run(backend_, store, 3);
  run.step(1, 60);
  EXPECT_EQ(store.lease_capacity(LeaseMode::kTrain), 8);
}

}  // namespace
}  // namespace mneme::offload
