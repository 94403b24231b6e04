// Leases whose rows are listed, read and updated by work that nobody waits for: the store's work
// comes after what the caller has queued, and the caller's after the store's.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <set>
#include <vector>

#include "offload/tiered_store.h"
#include "tests/offload/store_run.h"
#include "tests/simulated_disk/simulated_disk.h"
#include "tests/support/test_backend.h"

namespace mneme::offload {
namespace {

using kernels::MemoryKind;
using kernels::RowId;
using testing::bytes_for_slots;
using testing::small_store;

constexpr std::uint64_t kRows = 500;
constexpr std::size_t kLeaseRows = 150;  // more than two transfers' worth
constexpr std::size_t kLeases = 6;       // until somebody waits
constexpr std::size_t kHostSlotBytes = 128;

StoreOptions store_options(std::uint64_t device_slots, std::uint64_t host_slots) {
  StoreOptions options = small_store(kRows);
  options.tiers.device_bytes = bytes_for_slots(options, device_slots);
  options.tiers.host_bytes = host_slots * kHostSlotBytes;
  return options;
}

// Everything is allocated before the first lease: on the way the emulated device runs what is
// queued.
class QueuedLeases {
 public:
  QueuedLeases(kernels::Backend& backend, const StoreOptions& options)
      : backend_(backend),
        store_(backend, disk_, options),
        record_bytes_(options.layout.record_bytes()),
        compute_(backend.create_stream()),
        grouping_(backend.create_stream()),
        grouped_(backend.create_event()),
        rows_(backend.allocate(kLeases * kLeaseRows * sizeof(RowId), MemoryKind::kDevice)),
        row_lists_(backend.allocate(kLeases * kLeaseRows * sizeof(RowId), MemoryKind::kPinnedHost)),
        read_(backend.allocate(kLeases * kLeaseRows * record_bytes_, MemoryKind::kPinnedHost)),
        written_(backend.allocate(kLeases * kLeaseRows * record_bytes_, MemoryKind::kPinnedHost)),
        steps_(options.rows) {}
  ~QueuedLeases() { compute_->synchronize(); }

  TieredStore& store() { return store_; }

  // Queues a lease that reads the rows' records and, if it is to, writes new ones.
  void lease(const std::vector<RowId>& rows, bool writes) {
    store_.begin_step(++step_);
    RowId* list = row_lists_.as<RowId>() + leases_ * kLeaseRows;
    std::copy(rows.begin(), rows.end(), list);
    RowId* device_list = rows_.as<RowId>() + leases_ * kLeaseRows;
    // Every other list comes from another stream: only an event says when it is there.
    const bool apart = step_ % 2 == 0;
    kernels::Stream& lister = apart ? *grouping_ : *compute_;
    backend_.copy(lister, device_list, list, rows.size() * sizeof(RowId));
    if (apart) lister.record(*grouped_);
    const auto count = static_cast<std::int64_t>(rows.size());
    Lease lease = store_.acquire(*compute_,
                                 {.rows = device_list,
                                  .count = count,
                                  .mode = LeaseMode::kTrain,
                                  .rows_ready = apart ? grouped_.get() : nullptr},
                                 {});
    backend_.pack_records(*compute_, lease.arena(), records(read_, leases_), nullptr, lease.slots(),
                          count);
    expected_.emplace_back();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      expected_.back().push_back({rows[i], steps_[rows[i]]});
      if (writes) write(records(written_, leases_).record(static_cast<std::uint32_t>(i)), rows[i]);
    }
    if (writes) {
      backend_.unpack_records(*compute_, lease.arena(), records(written_, leases_), nullptr,
                              lease.slots(), count);
      lease.mark_dirty();
    }
    ++leases_;
  }

  // Waits, and compares what the leases since the last time have read.
  void expect_read(const std::vector<std::byte>& initial) {
    compute_->synchronize();
    for (std::size_t l = 0; l < leases_; ++l) {
      for (std::size_t i = 0; i < expected_[l].size(); ++i) {
        expect(records(read_, l).record(static_cast<std::uint32_t>(i)), expected_[l][i], initial);
      }
    }
    leases_ = 0;
    expected_.clear();
  }
  // Compares every record, waiting for nothing that the store does not wait for.
  void expect_all(const std::vector<std::byte>& initial) {
    std::vector<std::byte> all(steps_.size() * record_bytes_);
    store_.read_records(0, static_cast<std::int64_t>(steps_.size()), all.data());
    for (RowId row = 0; row < steps_.size(); ++row) {
      expect(all.data() + row * record_bytes_, {row, steps_[row]}, initial);
    }
  }

 private:
  struct Written {
    RowId row;
    std::uint64_t step;  // 0: never
  };

  kernels::HostRecords records(const kernels::Buffer& memory, std::size_t lease) const {
    const kernels::HostRecords records = kernels::HostRecords::in_one_piece(
        memory.as<std::byte>() + lease * kLeaseRows * record_bytes_, record_bytes_);
    return records;
  }
  static float value_of(const Written& written) {
    return static_cast<float>(written.row) + static_cast<float>(written.step) / 64;
  }
  void write(std::byte* record, RowId row) {
    steps_[row] = step_;
    std::memset(record, 0, record_bytes_);
    const float value = value_of({row, step_});
    const auto last_step = static_cast<std::uint32_t>(step_);
    std::memcpy(record, &last_step, sizeof last_step);
    std::memcpy(record + store_.options().layout.value_offset(), &value, sizeof value);
  }
  void expect(const std::byte* record, const Written& written,
              const std::vector<std::byte>& initial) const {
    std::uint32_t last_step = 0;
    float value = 0, wanted = value_of(written);
    const std::size_t offset = store_.options().layout.value_offset();
    std::memcpy(&last_step, record, sizeof last_step);
    std::memcpy(&value, record + offset, sizeof value);
    if (written.step == 0) {
      std::memcpy(&wanted, initial.data() + written.row * record_bytes_ + offset, sizeof wanted);
    }
    EXPECT_EQ(last_step, written.step) << "row " << written.row;
    EXPECT_EQ(value, wanted) << "row " << written.row;
  }

  kernels::Backend& backend_;
  io::SimulatedDisk disk_{{.record_log = false}};
  TieredStore store_;
  std::size_t record_bytes_;
  std::unique_ptr<kernels::Stream> compute_, grouping_;
  std::unique_ptr<kernels::Event> grouped_;
  kernels::Buffer rows_, row_lists_, read_, written_;
  std::size_t leases_ = 0;
  std::uint64_t step_ = 0;
  std::vector<std::uint64_t> steps_;  // of each row's last record
  std::vector<std::vector<Written>> expected_;
};

class LeaseOrderTest : public ::testing::Test {
 protected:
  std::vector<RowId> draw(std::size_t count) {
    std::set<RowId> rows;
    while (rows.size() < count) rows.insert(static_cast<RowId>(random_() % kRows));
    return {rows.begin(), rows.end()};
  }
  std::vector<std::byte> initial_records() {
    io::SimulatedDisk disk({.record_log = false});
    const StoreOptions options = store_options(kRows, 0);
    TieredStore store(backend_, disk, options);
    std::vector<std::byte> all(kRows * options.layout.record_bytes());
    store.read_records(0, kRows, all.data());
    return all;
  }

  kernels::Backend& backend_ = mneme::testing::test_backend();
  std::mt19937_64 random_{7};
};

TEST_F(LeaseOrderTest, UpdatesThatNobodyWaitsForTakeEffectOneAfterTheOther) {
  const auto initial = initial_records();
  // From a host tier that takes all that leaves the device, to one that swaps with the disk.
  for (const std::uint64_t host_slots : {330u, 200u, 20u, 0u}) {
    SCOPED_TRACE(host_slots);
    QueuedLeases leases(backend_, store_options(180, host_slots));
    for (int repetition = 0; repetition < 3 && !HasFailure(); ++repetition) {
      for (std::size_t i = 0; i < kLeases; ++i) {
        leases.lease(draw(1 + random_() % kLeaseRows), random_() % 4 != 0);
      }
      leases.expect_all(initial);
      leases.expect_read(initial);
    }
  }
}

// A small host tier makes many rounds of such a lease, and rows that were never written take no
// place in it: nothing makes one round wait for the transfers of the one before.
TEST_F(LeaseOrderTest, RoundsOfALeaseDoNotDisturbEachOther) {
  const auto initial = initial_records();
  QueuedLeases leases(backend_, store_options(180, 16));
  for (int repetition = 0; repetition < 3 && !HasFailure(); ++repetition) {
    for (std::size_t i = 0; i < kLeases; ++i) leases.lease(draw(kLeaseRows), false);
    leases.expect_read(initial);
  }
}

}  // namespace
}  // namespace mneme::offload
