// The parts of a tiered store and what works on them: leases and page-in in acquire.cpp; records,
// checkpoints and counters in tiered_store.cpp.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/error.h"
#include "offload/link_emulation.h"
#include "offload/page_in.h"
#include "offload/tiered_store.h"
#include "offload/tiers.h"
#include "offload/write_back.h"

namespace mneme::offload {

struct Lease::State {
  TieredStore::Implementation* store = nullptr;
  kernels::Stream* compute = nullptr;
  const kernels::RowArena* arena = nullptr;
  kernels::Buffer slots;
  std::int64_t count = 0;
  std::uint32_t counter = 0;
  LeaseMode mode = LeaseMode::kTrain;
};

class TieredStore::Implementation {
 public:
  Implementation(kernels::Backend& backend, io::Disk& disk, const StoreOptions& options);

  ~Implementation();
  std::int64_t capacity(LeaseMode mode) const;
  void begin_step(std::uint64_t step);

  // Anything that fails between binding rows to slots and filling them leaves slots without their
  // records: nothing may be read or written after that.
  template <typename Body>
  auto guarded(Body body) {
    if (!failure_.empty()) io::fail("{}", failure_);
    try {
      return body();
    } catch (const std::exception& error) {
      failure_ = error.what();
      throw;
    }
  }

  [[nodiscard]] std::unique_ptr<Lease::State> acquire(kernels::Stream& compute,
                                                      const kernels::RowId* rows,
                                                      std::int64_t count, LeaseMode mode,
                                                      const Currency& currency);
  void release(Lease::State& lease);
  // release() for a destructor, which runs while an error of the device unwinds a step, too: a
  // failure is the next call's.
  void end(Lease::State& lease) noexcept;
  void mark_dirty(const Lease::State& lease);
  void prefetch(std::span<const kernels::RowId> rows, std::uint64_t byte_budget);
  void write_records(std::span<const kernels::RowId> rows,
                     std::span<const std::byte* const> records);
  void read_records(kernels::RowId first, std::int64_t count, std::byte* out);
  TableDelta flush();
  void commit(std::uint64_t epoch);
  void restore(std::span<const CheckpointTable> kept);

  const kernels::SlotId* lease_slots(const Lease::State& lease) const {
    return lease.mode == LeaseMode::kTrain ? lease.slots.as<kernels::SlotId>()
                                           : evaluation_slots_.as<kernels::SlotId>();
  }

  TierUse tier_use() const;

  const StepCounters& counters() {
    tiers_.counters.io_retries = tiers_.disk.io_retries() - retries_before_step_;
    return tiers_.counters;
  }

  const StoreOptions& options() const { return options_; }
  Tiers& tiers() { return tiers_; }
  StepCounters& total() { return total_; }

 private:
  // The host's side of the end of a lease: it holds no rows any more.
  void forget(const Lease::State& lease);
  void make_resident(Lease::State& lease, const kernels::RowId* rows, const Currency& currency);
  void acquire_for_training(Lease::State& lease, const kernels::RowId* rows);
  void page_in_missing(const MissingRows& missing);
  void acquire_read_only(Lease::State& lease, const kernels::RowId* rows);
  void count_lease(std::int64_t count, std::size_t missing);

  StoreOptions options_;
  kernels::Backend& backend_;
  std::unique_ptr<kernels::Stream> stream_;
  std::unique_ptr<kernels::Event> event_;
  kernels::RowInit init_;
  Tiers tiers_;
  WriteBack write_back_;
  PageIn page_in_;
  LinkEmulation host_link_;
  LinkEmulation disk_link_;
  TransferLists lists_;
  TransferLists copy_lists_{backend_};
  kernels::Buffer fill_slots_;
  kernels::Buffer evaluation_slots_;  // 0, 1, 2, ...
  kernels::Buffer evaluation_found_;
  kernels::Buffer scratch_;
  std::vector<kernels::Buffer> slot_buffers_;  // of ended leases
  std::vector<const Lease::State*> leases_;    // live, oldest first
  bool read_only_lease_live_ = false;
  std::uint32_t use_counter_ = 0;
  std::uint64_t retries_before_step_ = 0;
  std::size_t flushed_rows_ = 0;  // leading entries of changed_rows that the last flush reported
  StepCounters total_;
  std::string failure_;
};

}  // namespace mneme::offload
