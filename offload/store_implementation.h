// The parts of a tiered store and what works on them: leases and page-in in acquire.cpp; records,
// checkpoints and counters in store_implementation.cpp.
#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/error.h"
#include "kernels/device_array.h"
#include "offload/disk_prefetch.h"
#include "offload/lease_plan.h"
#include "offload/link_emulation.h"
#include "offload/page_in.h"
#include "offload/stall_clock.h"
#include "offload/tiered_store.h"
#include "offload/tiers.h"
#include "offload/write_back.h"

namespace mneme::offload {

// Of a store's tiers, but for where the rows are.
DeviceTierOptions device_tier_options(const StoreOptions& options);
HostTierOptions host_tier_options(const StoreOptions& options);

struct Lease::State {
  TieredStore::Implementation* store = nullptr;
  kernels::Stream* compute = nullptr;
  const kernels::RowArena* arena = nullptr;
  kernels::DeviceArray<kernels::SlotId> slots;
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
  // records: nothing may be read or written after that. Every public function that touches a
  // stream or the disk goes through here, since any of them may be the one that hears of a failure.
  template <typename Body>
  auto guarded(Body body) {
    if (!failure_.empty()) io::fail("{}", failure_);
    counted_ = Counted::kNo;
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
                                                      const Currency& currency,
                                                      kernels::Event* rows_ready = nullptr);
  void release(Lease::State& lease);
  // release() for a destructor, which runs while an error of the device unwinds a step, too: a
  // failure is the next call's.
  void end(Lease::State& lease) noexcept;
  void mark_dirty(const Lease::State& lease);
  void require_disk_room(const kernels::RowId* rows, std::int64_t count);
  void prefetch(std::span<const kernels::RowId> rows, std::uint64_t byte_budget);
  void write_records(std::span<const kernels::RowId> rows,
                     std::span<const std::byte* const> records);
  void read_records(kernels::RowId first, std::int64_t count, std::byte* out);
  TableDelta flush();
  void commit(std::uint64_t epoch);
  void restore(std::span<const CheckpointTable> kept, std::size_t current);

  const kernels::SlotId* lease_slots(const Lease::State& lease) const {
    return lease.mode == LeaseMode::kTrain ? lease.slots.data() : evaluation_slots_.data();
  }

  TierUse tier_use();

  const StepCounters& counters();
  void queue_counters(kernels::Stream& compute);
  std::vector<kernels::RowId> touched_rows();

  const StoreOptions& options() const { return options_; }
  Tiers& tiers() { return tiers_; }
  StepCounters& total() { return total_; }

 private:
  using Clock = std::chrono::steady_clock;

  // The host's side of the end of a lease: it holds no rows any more.
  void forget(const Lease::State& lease);
  StallClock::HostTime make_resident(Lease::State& lease, const kernels::RowId* rows);
  void begin_training_lease(Lease::State& lease);
  void move_missing(const Lease::State& lease, const LeaseWanted& wanted, LeaseRows left,
                    std::uint64_t& disk_us);
  void number_evaluation_slots();
  // REQUIRE: one batch of scratch memory and one lease hold the rows.
  void write_batch(std::span<const kernels::RowId> rows, std::span<const std::byte* const> records);
  void read_batch(kernels::RowId first, std::int64_t count, std::byte* out);
  kernels::HostRecords scratch_records() const;
  void place_on_disk(std::span<const TableEntry> entries);
  // Ascending, from the device.
  std::vector<kernels::RowId> copy_rows(const kernels::RowId* rows, std::int64_t count);
  void count_lease(std::int64_t count, const LeaseRows& missing);
  // Takes what the device has counted into the step's counters.
  void note_report(const kernels::LookupReport& report);
  // The same, of everything queued so far; waits for the plan.
  const kernels::LookupReport& settle_counters();
  void pace_links(Clock::time_point start, const StepCounters& before);

  StoreOptions options_;
  kernels::Backend& backend_;
  std::unique_ptr<kernels::Stream> stream_;
  std::unique_ptr<kernels::Event> event_;
  kernels::RowInit init_;
  Tiers tiers_;
  WriteBack write_back_;
  DiskPrefetch prefetch_;
  PageIn page_in_;
  LeasePlan plan_;
  StallClock stalls_;
  LinkEmulation host_link_;
  LinkEmulation disk_link_;
  kernels::DeviceArray<kernels::SlotId> evaluation_slots_;  // 0, 1, 2, ...
  kernels::DeviceArray<kernels::SlotId> evaluation_found_;
  kernels::Buffer scratch_;                            // pinned host: records of one batch
  kernels::DeviceArray<kernels::RowId> scratch_rows_;  // pinned host: their rows
  std::int64_t scratch_length_ = 0;
  std::vector<kernels::DeviceArray<kernels::SlotId>> slot_buffers_;  // of ended leases
  std::vector<const Lease::State*> leases_;                          // live, oldest first
  bool read_only_lease_live_ = false;
  // Of the rows that went to the host tier since the last report: some were dropped instead.
  std::uint64_t left_to_host_ = 0;
  std::uint64_t dropped_ = 0, prefetch_used_ = 0;  // as of the last report
  // Whether the counters hold all that has happened, or will once counters_ready_ is reached.
  enum class Counted { kNo, kQueued, kYes };
  Counted counted_ = Counted::kNo;
  std::unique_ptr<kernels::Event> counters_ready_;
  std::uint64_t placed_rows_ = 0;  // untouched rows that found a place, since the start
  std::uint64_t retries_before_step_ = 0;
  std::uint64_t most_dirty_ = 0;  // no fewer than the rows that are dirty
  StepCounters total_;
  std::string failure_;
};

}  // namespace mneme::offload
