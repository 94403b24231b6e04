// A million disk writes without a checkpoint, as a fast run makes them in minutes.
#include <gtest/gtest.h>

#include "kernels/machine_memory.h"
#include "tests/offload/store_run.h"
#include "tests/support/test_backend.h"

namespace mneme::offload {
namespace {

using testing::bytes_for_slots;
using testing::small_store;

TEST(LongRun, AMillionDiskWritesWithoutACheckpointTakeNoMoreMemory) {
  constexpr std::uint64_t kRows = 4096, kLease = 1024;
  kernels::Backend& backend = mneme::testing::test_backend();
  io::SimulatedDisk disk({.record_log = false});
  StoreOptions options = small_store(kRows);
  options.tiers.device_bytes = bytes_for_slots(options, 2 * kLease);
  options.tiers.host_bytes = 0;
  TieredStore store(backend, disk, options);
  const auto compute = backend.create_stream();
  const kernels::Buffer rows = backend.allocate(kLease * 4, kernels::MemoryKind::kPinnedHost);
  std::uint64_t step = 0;
  // Every lease drives an earlier one from the device to the disk.
  const auto run_until = [&](std::uint64_t writes) {
    while (store.books().total().disk_rows_written() < writes) {
      store.begin_step(++step);
      for (std::uint64_t i = 0; i < kLease; ++i) {
        rows.as<kernels::RowId>()[i] =
            static_cast<kernels::RowId>(step % (kRows / kLease) * kLease + i);
      }
      Lease lease = store.acquire(
          *compute, {.rows = rows.as<kernels::RowId>(), .count = kLease, .mode = LeaseMode::kTrain},
          {});
      lease.mark_dirty();
    }
  };
  run_until(100000);
  const std::size_t before = kernels::resident_memory_bytes();
  run_until(1100000);
  EXPECT_LT(kernels::resident_memory_bytes(), before + (std::size_t{1} << 20));
  EXPECT_EQ(store.flush().entries.size(), kRows);
}

}  // namespace
}  // namespace mneme::offload
