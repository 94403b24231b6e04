// Leases: making rows resident and current, and letting them go.
#include <chrono>

#include "io/check.h"
#include "io/elapsed.h"
#include "offload/store_implementation.h"

namespace mneme::offload {
namespace {

using Clock = std::chrono::steady_clock;
using kernels::MemoryKind;
using kernels::RowId;
using kernels::SlotId;

}  // namespace

std::int64_t TieredStore::Implementation::capacity(LeaseMode mode) const {
  if (mode == LeaseMode::kReadOnly) {
    return read_only_lease_live_ ? 0 : tiers_.device.evaluation_slots();
  }
  std::int64_t held = 0;
  for (const Lease::State* lease : leases_) held += lease->count;
  return std::max<std::int64_t>(0, std::int64_t{tiers_.device.slots()} - held);
}

std::unique_ptr<Lease::State> TieredStore::Implementation::acquire(kernels::Stream& compute,
                                                                   const RowId* rows,
                                                                   std::int64_t count,
                                                                   LeaseMode mode,
                                                                   const Currency& currency) {
  return guarded([&] {
    CHECK(count >= 0 && count <= capacity(mode), "lease of {} rows, capacity {}", count,
          capacity(mode));
    compute.record(*event_);
    stream_->wait(*event_);
    auto lease = std::make_unique<Lease::State>();
    lease->store = this;
    lease->compute = &compute;
    lease->count = count;
    lease->mode = mode;
    try {
      make_resident(*lease, rows, currency);
      stream_->record(*event_);
      compute.wait(*event_);
    } catch (...) {
      forget(*lease);
      throw;
    }
    return lease;
  });
}

void TieredStore::Implementation::make_resident(Lease::State& lease, const RowId* rows,
                                                const Currency& currency) {
  if (lease.mode == LeaseMode::kTrain) {
    acquire_for_training(lease, rows);
  } else {
    acquire_read_only(lease, rows);
  }
  if (currency.catch_up != nullptr && currency.kind == kernels::RowOptimizerKind::kAdamW &&
      lease.count > 0) {
    backend_.catch_up_rows(*stream_, *lease.arena, rows, lease_slots(lease), lease.count,
                           *currency.catch_up);
  }
}

void TieredStore::Implementation::forget(const Lease::State& lease) {
  if (lease.mode == LeaseMode::kReadOnly) {
    read_only_lease_live_ = false;
  } else {
    std::erase(leases_, &lease);
  }
}

void TieredStore::Implementation::release(Lease::State& lease) {
  forget(lease);
  // The next work of the store waits for what the caller queued under the lease.
  lease.compute->record(*event_);
  stream_->wait(*event_);
  if (lease.mode == LeaseMode::kReadOnly) return;
  if (!leases_.empty()) {
    // Only what other leases hold stays protected; a slot may be in several.
    tiers_.device.mark_leased(lease.slots.as<SlotId>(), lease.count, 0);
    for (const Lease::State* other : leases_) {
      tiers_.device.mark_leased(other->slots.as<SlotId>(), other->count, other->counter);
    }
  }
  slot_buffers_.push_back(std::move(lease.slots));
}

void TieredStore::Implementation::end(Lease::State& lease) noexcept {
  try {
    release(lease);
  } catch (const std::exception& error) {
    if (failure_.empty()) failure_ = error.what();
  }
}

void TieredStore::Implementation::mark_dirty(const Lease::State& lease) {
  CHECK(lease.mode == LeaseMode::kTrain);
  tiers_.device.mark_dirty(lease.slots.as<SlotId>(), lease.count);
}

void TieredStore::Implementation::acquire_for_training(Lease::State& lease, const RowId* rows) {
  lease.arena = &tiers_.device.arena();
  lease.counter = ++use_counter_;
  if (slot_buffers_.empty()) {
    slot_buffers_.push_back(
        backend_.allocate(std::size_t{tiers_.device.slots()} * 4, MemoryKind::kDevice));
  }
  lease.slots = std::move(slot_buffers_.back());
  slot_buffers_.pop_back();
  SlotId* slots = lease.slots.as<SlotId>();
  const MissingRows missing = tiers_.device.lookup(rows, lease.count, slots);
  const auto start = Clock::now();
  const StepCounters before = tiers_.counters;
  count_lease(lease.count, missing.rows.size());
  leases_.push_back(&lease);
  if (!missing.rows.empty()) {
    // Rows that are there already must not become victims of those that are not.
    tiers_.device.mark_leased(slots, lease.count, lease.counter);
    page_in_missing(missing);
    const std::size_t still = tiers_.device.lookup(rows, lease.count, slots).rows.size();
    CHECK(still == 0, "{} rows are missing after page-in", still);
  }
  tiers_.device.mark_used(slots, lease.count, lease.counter,
                          static_cast<std::uint32_t>(tiers_.step));
  page_in_.advance_prefetch();
  host_link_.pace(start, tiers_.counters.host.bytes_read - before.host.bytes_read +
                             tiers_.counters.host.bytes_written - before.host.bytes_written);
  disk_link_.pace(start, tiers_.counters.disk.bytes_read - before.disk.bytes_read +
                             tiers_.counters.disk.bytes_written - before.disk.bytes_written);
  if (!missing.rows.empty() || lease.count == 0) {
    tiers_.counters.acquire_stall_us += io::elapsed_us(start);
  }
}

void TieredStore::Implementation::page_in_missing(const MissingRows& missing) {
  for (const RowId row : missing.rows) {
    if (tiers_.residency.place(row) == Place::kHost) {
      tiers_.host.protect(tiers_.residency.host_slot(row));
    }
  }
  const auto needed = static_cast<std::int64_t>(missing.rows.size());
  const std::int64_t wanted = needed - tiers_.device.free_slots();
  if (wanted > 0) {
    const DeviceVictims victims = tiers_.device.evict(
        wanted, use_counter_, static_cast<std::uint32_t>(tiers_.step), leases_.front()->counter);
    CHECK(std::int64_t(victims.slots.size()) >= wanted, "{} victims of {} wanted",
          victims.slots.size(), wanted);
    write_back_.demote(victims);
    tiers_.device.add_free(victims.slots);
  }
  SlotId* targets = fill_slots_.as<SlotId>();
  for (std::int64_t i = 0; i < needed; ++i) targets[i] = tiers_.device.take_free();
  tiers_.device.bind(missing.rows.data(), targets, needed, use_counter_);
  page_in_.move(missing.rows, targets);
}

void TieredStore::Implementation::acquire_read_only(Lease::State& lease, const RowId* rows) {
  CHECK(!read_only_lease_live_);
  lease.arena = &tiers_.device.evaluation_arena();
  SlotId* found = evaluation_found_.as<SlotId>();
  const MissingRows missing = tiers_.device.lookup(rows, lease.count, found);
  count_lease(lease.count, missing.rows.size());
  std::int64_t listed = 0;
  const auto copy_listed = [&] {
    if (listed == 0) return;
    backend_.copy_rows(*stream_, tiers_.device.arena(), copy_lists_.slots,
                       tiers_.device.evaluation_arena(), copy_lists_.targets, listed);
    stream_->synchronize();
    listed = 0;
  };
  for (std::int64_t i = 0; i < lease.count; ++i) {
    if (found[i] == kernels::kNoSlot) continue;
    copy_lists_.slots[listed] = found[i];
    copy_lists_.targets[listed] = static_cast<SlotId>(i);
    if (++listed == TransferLists::kLength) copy_listed();
  }
  copy_listed();
  // The list of found slots is spent by now: its memory serves for the targets.
  SlotId* targets = found;
  for (std::size_t i = 0; i < missing.rows.size(); ++i) targets[i] = missing.lease_index[i];
  page_in_.copy(missing.rows, targets, tiers_.device.evaluation_arena());
  read_only_lease_live_ = true;
}

void TieredStore::Implementation::count_lease(std::int64_t count, std::size_t missing) {
  StepCounters& counters = tiers_.counters;
  const auto hits = static_cast<std::uint64_t>(count) - missing;
  ++counters.leases;
  counters.rows_leased += static_cast<std::uint64_t>(count);
  counters.device.rows_read += hits;
  counters.device.bytes_read += hits * tiers_.record_bytes;
}

}  // namespace mneme::offload
