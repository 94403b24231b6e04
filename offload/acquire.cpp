// Leases: making rows resident and current, and ending a lease. The terms and the timeline are in
// tiered_store.h.
//
// A training lease, function by function. "plan", "page-in" and "write-back" are the store's
// streams; the caller's thread queues work on them and goes on, except where it says WAIT.
//
//   acquire()              plan waits for the event `rows_ready`
//     make_resident()
//       prefetch publish   plan: rows that a prefetch has read get their entries in the slot tables
//       plan look_up()     plan: slot of each row, list of missing rows. WAIT for their counts
//       mark_leased()      plan: rows that are resident already cannot become victims
//       move_missing()     in rounds of as many rows as a list holds, for each:
//         page_in start      disk: start reading the round's rows
//         plan plan()        plan: victims, and a slot for each missing row. Where host slots have
//                            to be freed first: WAIT for the writes to the disk
//         exchange()         write-back: victims to host slots; page-in: rows to device slots
//         generate_rows()    page-in: untouched rows
//         page_in bring()    WAIT for the plan (slots of the rows on disk) and for the reads;
//                            page-in: their records to device slots
//       mark_used()        plan: the use counts for replacement, once page-in is through
//     catch_up_rows()      plan: rows are brought up to the step
//     the caller's stream waits for the plan
//
// A read-only lease has no victims and marks nothing: the same rows are copied into the evaluation
// arena instead.
#include <chrono>

#include "io/check.h"
#include "io/elapsed.h"
#include "offload/catch_up_rows.h"
#include "offload/store_implementation.h"

namespace mneme::offload {

using kernels::MemoryKind;
using kernels::RowId;
using kernels::SlotId;

std::int64_t TieredStore::Implementation::capacity(LeaseMode mode) const {
  if (mode == LeaseMode::kReadOnly) {
    return read_only_lease_live_ ? 0 : tiers_.device.evaluation_slots();
  }
  std::int64_t held = 0;
  for (const Lease::State* lease : leases_) held += lease->count;
  return std::max<std::int64_t>(0, std::int64_t{tiers_.device.slots()} - held);
}

std::unique_ptr<Lease::State> TieredStore::Implementation::acquire(
    kernels::Stream& compute, const RowId* rows, std::int64_t count, LeaseMode mode,
    const Currency& currency, kernels::Event* rows_ready) {
  return guarded([&] {
    CHECK(count >= 0 && count <= capacity(mode), "lease of {} rows, capacity {}", count,
          capacity(mode));
    if (rows_ready == nullptr) {
      compute.record(*event_);
      rows_ready = event_.get();
    }
    stream_->wait(*rows_ready);
    stalls_.collect(tiers_.counters);
    stalls_.start(compute);
    auto lease = std::make_unique<Lease::State>();
    lease->store = this;
    lease->compute = &compute;
    lease->count = count;
    lease->mode = mode;
    try {
      const StallClock::HostTime host = make_resident(*lease, rows);
      catch_up_rows(backend_, *stream_, *lease->arena, rows, lease_slots(*lease), count, currency);
      stream_->record(*event_);
      compute.wait(*event_);
      stalls_.resumed(compute, host);
    } catch (...) {
      stalls_.forget();
      forget(*lease);
      throw;
    }
    return lease;
  });
}

StallClock::HostTime TieredStore::Implementation::make_resident(Lease::State& lease,
                                                                const RowId* rows) {
  prefetch_.publish();
  const bool training = lease.mode == LeaseMode::kTrain;
  if (training) {
    begin_training_lease(lease);
  } else {
    CHECK(!read_only_lease_live_);
    lease.arena = &tiers_.device.evaluation_arena();
  }
  SlotId* slots = training ? lease.slots.data() : evaluation_found_.data();
  const LeaseWanted wanted{.rows = rows,
                           .slots = slots,
                           .count = lease.count,
                           .lease = lease.counter,
                           .first_live_lease = leases_.empty() ? 0 : leases_.front()->counter,
                           .held_host_slots = prefetch_.held_slots()};
  const LeaseRows missing = plan_.look_up(wanted);
  stalls_.planned(*stream_);
  note_report(plan_.last_report());
  count_lease(lease.count, missing);
  const auto start = Clock::now();
  const StepCounters before = tiers_.counters;
  const std::uint64_t room_before = tiers_.room_us;
  std::uint64_t disk_us = 0;
  if (training) placed_rows_ += static_cast<std::uint64_t>(missing.untouched);
  if (training && missing.missing() > 0) {
    // move_missing() looks for victims: resident rows of this lease must not be among them.
    tiers_.device.mark_leased(slots, lease.count, lease.counter);
  }
  if (!training) {
    backend_.copy_rows(*stream_, tiers_.device.arena(), slots, *lease.arena, nullptr, lease.count);
  }
  move_missing(lease, wanted, missing, disk_us);
  if (training) {
    tiers_.device.mark_used(slots, lease.count, lease.counter,
                            static_cast<std::uint32_t>(tiers_.step));
  } else {
    read_only_lease_live_ = true;
  }
  prefetch_.advance();
  if (missing.missing() > 0) {
    pace_links(start, before);
    tiers_.counters.acquire_stall_us += io::elapsed_us(start);
  }
  return {disk_us, tiers_.room_us - room_before, missing.missing() > 0};
}

void TieredStore::Implementation::begin_training_lease(Lease::State& lease) {
  lease.arena = &tiers_.device.arena();
  lease.counter = ++tiers_.use_counter;
  if (slot_buffers_.empty()) {
    slot_buffers_.emplace_back(backend_, tiers_.device.slots());
  }
  lease.slots = std::move(slot_buffers_.back());
  slot_buffers_.pop_back();
  leases_.push_back(&lease);
}

void TieredStore::Implementation::move_missing(const Lease::State& lease, const LeaseWanted& wanted,
                                               LeaseRows left, std::uint64_t& disk_us) {
  if (left.missing() == 0) return;
  const kernels::HostRecords& records = tiers_.host.records();
  kernels::Stream& stream = tiers_.transfers.page_in();
  for (std::int64_t done = 0; left.missing() > 0;) {
    Round round = plan_.next_round(wanted, left, done);
    if (round.rows.on_disk > 0) page_in_.start(round.disk_rows);
    plan_.plan(wanted, round);
    if (done == 0) stalls_.planned(*stream_);
    tiers_.transfers.follow(*stream_);
    tiers_.transfers.exchange(*lease.arena, records, round.exchange);
    tiers_.transfers.fill_after_write_back();
    backend_.generate_rows(stream, *lease.arena, round.untouched_rows, round.untouched_slots,
                           round.rows.untouched, init_);
    if (round.rows.on_disk > 0) {
      const auto start = Clock::now();
      stream_->synchronize();  // then round.disk_slots can be read
      page_in_.bring(round.disk_rows, round.disk_slots, plan_.disk_rows_after(round), *lease.arena);
      disk_us += io::elapsed_us(start);
    }
    plan_.queued(wanted);
    left_to_host_ += static_cast<std::uint64_t>(round.exchange.leaving);
    left.in_host -= round.rows.in_host;
    left.untouched -= round.rows.untouched;
    left.on_disk -= round.rows.on_disk;
    done += round.rows.missing();
  }
  tiers_.transfers.arrive_before(*stream_);
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
  // The caller's queued work may still use the rows, so the store's next work waits for it.
  lease.compute->record(*event_);
  stream_->wait(*event_);
  if (lease.mode == LeaseMode::kReadOnly) return;
  if (!leases_.empty()) {
    // Slots of this lease may become victims again, unless another live lease has them, too.
    tiers_.device.mark_leased(lease.slots.data(), lease.count, 0);
    for (const Lease::State* other : leases_) {
      tiers_.device.mark_leased(other->slots.data(), other->count, other->counter);
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
  tiers_.device.mark_dirty(lease.slots.data(), lease.count);
}

void TieredStore::Implementation::count_lease(std::int64_t count, const LeaseRows& missing) {
  StepCounters& counters = tiers_.counters;
  const auto hits = static_cast<std::uint64_t>(count - missing.missing());
  const auto in_host = static_cast<std::uint64_t>(missing.in_host);
  ++counters.leases;
  counters.rows_leased += static_cast<std::uint64_t>(count);
  counters.device.rows_read += hits;
  counters.device.bytes_read += hits * tiers_.record_bytes;
  counters.host.rows_read += in_host;
  counters.host.bytes_read += in_host * tiers_.record_bytes;
  counters.rows_generated += static_cast<std::uint64_t>(missing.untouched);
  counters.misses_cold += static_cast<std::uint64_t>(missing.untouched);
  counters.misses_capacity += in_host + static_cast<std::uint64_t>(missing.on_disk);
}

void TieredStore::Implementation::pace_links(Clock::time_point start, const StepCounters& before) {
  if (!host_link_.is_emulated() && !disk_link_.is_emulated()) return;
  tiers_.transfers.synchronize();
  settle_counters();
  const StepCounters& now = tiers_.counters;
  // The host link carries both directions at once, so that the longer one counts.
  host_link_.pace(start, std::max(now.host.bytes_read - before.host.bytes_read,
                                  now.host.bytes_written - before.host.bytes_written));
  disk_link_.pace(start, now.disk.bytes_read - before.disk.bytes_read + now.disk.bytes_written -
                             before.disk.bytes_written);
}

}  // namespace mneme::offload
