// Leases and hints: making rows resident and current, and ending a lease. The terms and the
// timeline are in tiered_store.h.
//
// A training lease, function by function. "plan", "page-in" and "write-back" are streams; the
// caller's thread queues work on them and goes on, except where it says WAIT.
//
//   queue_look_up()        plan waits for the event `rows_ready`; slot of each row, list of missing
//                          rows
//   take_lease()
//     make_resident()
//       planner found()    WAIT for the counts
//       wait_for_hints()   WAIT for rows that a hint has not brought yet
//       await_hinted()     plan: waits for what hints bring to the device, where the lease needs it
//       save_before()        only while a checkpoint is under way: WAIT for room for its records
//                            among the rows, which are copied
//       begin_lease()      plan: rows that are resident already cannot become victims; use counts
//       bring_missing()    in rounds of as many rows as a list holds, for each:
//         page_in start      disk: start reading the round's rows
//         planner plan()     plan: victims, and a slot for each missing row. Where rows have to go
//                            to the disk: WAIT for the list of them
//         write_victims()    WAIT for room among the writes to the disk
//         exchange()         write-back: victims to host slots; page-in: rows to device slots
//         generate()         page-in: untouched rows
//         page_in bring()    WAIT for the plan (slots of the rows on disk) and for the reads;
//                            page-in: their records to device slots
//     catch_up_rows()      plan: rows are brought up to the step, once page-in is through
//     the caller's stream waits for the plan
//
// A read-only lease has no victims and marks nothing: the same rows are copied into the evaluation
// arena instead.
#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "io/check.h"
#include "io/elapsed.h"
#include "offload/catch_up_rows.h"
#include "offload/tiered_store.h"

namespace mneme::offload {

using kernels::Place;
using Clock = std::chrono::steady_clock;

namespace {

PlanMode plan_mode(LeaseMode mode) {
  return mode == LeaseMode::kTrain ? PlanMode::kTrain : PlanMode::kReadOnly;
}

}  // namespace

Lease::~Lease() {
  if (planned_ != nullptr) store_->end(*planned_, *compute_);
}

const kernels::RowArena& Lease::arena() const {
  return store_->arena(*planned_);
}

const kernels::SlotId* Lease::slots() const {
  return store_->planner_.slots(*planned_);
}

LeaseParts::LeaseParts(TieredStore& store, const LeaseRequest& all, std::int64_t part_rows)
    : store_(store) {
  store_.begin_parts(all, part_rows);
}

LeaseParts::~LeaseParts() {
  store_.end_parts();
}

void Lease::mark_dirty() {
  store_->planner_.mark_dirty(*planned_);
  store_->trace_lease_event(TraceKind::kMarkDirty, *planned_);
}

const kernels::RowArena& TieredStore::arena(const PlannedLease& lease) const {
  return lease.mode == PlanMode::kReadOnly ? mover_.evaluation_arena() : mover_.arena();
}

std::int64_t TieredStore::lease_capacity(LeaseMode mode) const {
  return planner_.capacity(plan_mode(mode));
}

void TieredStore::look_up(kernels::Stream& compute, const LeaseRequest& request) {
  guarded([&] { queue_look_up(compute, request); });
}

void TieredStore::queue_look_up(kernels::Stream& compute, const LeaseRequest& request) {
  kernels::Event* ready = request.rows_ready;
  if (ready == nullptr) {
    compute.record(*event_);
    ready = event_.get();
  }
  planner_.stream().wait(*ready);
  const PlanMode mode = plan_mode(request.mode);
  const std::int64_t capacity = planner_.capacity(mode);
  planner_.look_up(
      {.rows = request.rows,
       .count = request.count_at != nullptr ? std::min(request.count, capacity) : request.count,
       .count_at = request.count_at},
      mode);
  looked_up_ = request;
}

std::int64_t TieredStore::looked_up(kernels::Stream& compute) {
  return guarded([&] {
    CHECK(looked_up_.rows != nullptr, "no look-up is queued");
    ledger_.open(looked_up_.account);
    stalls_.start(compute);
    const std::int64_t count = planner_.found().count;
    stalls_.planned(planner_.stream());
    stalls_.resumed(compute, {}, ledger_);
    return count;
  });
}

bool TieredStore::is_looked_up(const LeaseRequest& request) const {
  return looked_up_.rows != nullptr && looked_up_.rows == request.rows &&
         looked_up_.mode == request.mode;
}

Lease TieredStore::acquire(kernels::Stream& compute, const LeaseRequest& request,
                           const Currency& currency) {
  return guarded([&] { return take_lease(compute, request, currency); });
}

Lease TieredStore::take_lease(kernels::Stream& compute, const LeaseRequest& request,
                              const Currency& currency) {
  CHECK(request.count >= 0 && request.count <= lease_capacity(request.mode),
        "lease of {} rows, capacity {}", request.count, lease_capacity(request.mode));
  ledger_.open(request.account);
  stalls_.collect(ledger_);
  times_.collect(ledger_);
  stalls_.start(compute);
  StallClock::HostTime host;
  try {
    if (!is_looked_up(request) || planner_.found().count != request.count) {
      queue_look_up(compute, request);
    }
    looked_up_ = {};
    PlannedLease& planned = make_resident(request, host);
    Lease lease(*this, planned, compute);
    catch_up_rows(backend_, planner_.stream(), lease.arena(), request.rows, lease.slots(),
                  lease.count(), currency);
    planner_.stream().record(*event_);
    compute.wait(*event_);
    stalls_.resumed(compute, host, ledger_);
    return lease;
  } catch (...) {
    stalls_.forget();
    throw;
  }
}

PlannedLease& TieredStore::make_resident(const LeaseRequest& request, StallClock::HostTime& host) {
  const Found& found = planner_.found();
  stalls_.planned(planner_.stream());
  CHECK(found.count == request.count);
  trace_lease(request);
  plan_books_.report(planner_.report());
  plan_books_.found(found);
  wait_for_hints(found, host);
  const std::uint64_t used = planner_.report().device.prefetch_used;
  const bool takes_hinted = std::exchange(hinted_used_, used) != used;
  if (takes_hinted || found.missing() > 0 || request.mode == LeaseMode::kReadOnly ||
      snapshot_.is_open()) {
    await_hinted();
  }
  save_before(request, host);
  host.missing = found.missing() > 0;
  PlannedLease& lease = planner_.begin_lease();
  if (trace_) lease_numbers_[&lease] = {traced_leases_, traces_parts_};
  ++leases_;
  try {
    if (request.mode == LeaseMode::kReadOnly) {
      StreamClock::Span span = times_.start(planner_.stream());
      mover_.copy_resident(planner_.stream(), planner_.resident_slots(), lease.count);
      times_.stop(std::move(span), planner_.stream(), ledger_.account(), Field::kDeviceCopyTime);
      book_records(Field::kDeviceCopyRows, found.on_device);
    } else {
      plan_books_.bind();
    }
    bring_missing(arena(lease), host);
    planner_.finish_lease();
    hints_.collect();
  } catch (...) {
    planner_.end_lease(lease);
    --leases_;
    throw;
  }
  return lease;
}

void TieredStore::wait_for_hints(const Found& found, StallClock::HostTime& host) {
  const std::vector<kernels::RowId> late = hints_.waiting(found.hinted);
  if (late.empty()) return;
  const auto start = Clock::now();
  hints_.await(late);
  host.hint_us += io::elapsed_us(start);
  ledger_.book(Field::kHintsLate, late.size());
  late_rows_.insert(late_rows_.end(), late.begin(), late.end());
}

void TieredStore::await_hinted() {
  if (std::exchange(hinted_arrive_, false)) planner_.stream().wait(*hinted_arrived_);
}

// Of a checkpoint under way, records that the lease will change.
void TieredStore::save_before(const LeaseRequest& request, StallClock::HostTime& host) {
  if (request.mode != LeaseMode::kTrain) return;
  if (!snapshot_.is_open() && !snapshot_.is_copying()) return;
  const auto start = Clock::now();
  stalls_.saving(planner_.stream());
  snapshot_.copy_leased(request.rows, request.count);
  stalls_.saved(planner_.stream());
  host.save_us += io::elapsed_us(start);
}

// The lease's own transfers are queued: copies of others hold up none of them.
void TieredStore::save_others(StallClock::HostTime& host) {
  // The caller's stream has to wait for the plan, too: that is no time of the checkpoint's.
  if (snapshot_.is_open()) planner_.stream().synchronize();
  const auto start = Clock::now();
  snapshot_.write_some();
  host.save_us += io::elapsed_us(start);
}

// Records that were copied for a checkpoint are in the disk's hands before it is asked for them.
void TieredStore::settle_unready(std::span<const kernels::RowId> rows) {
  const bool any = std::any_of(rows.begin(), rows.end(),
                               [this](kernels::RowId row) { return disk_.is_unready(row); });
  if (any) snapshot_.settle();
}

void TieredStore::bring_missing(const kernels::RowArena& arena, StallClock::HostTime& host) {
  Round round;
  bool any = false;
  while (planner_.next_round(round)) {
    if (round.on_disk > 0) {
      settle_unready(round.disk_rows);
      page_in_.start(round.disk_rows);
    }
    planner_.plan(round);
    if (!std::exchange(any, true)) stalls_.planned(planner_.stream());
    bring_round(round, arena, host);
  }
  save_others(host);
  if (any) mover_.arrive_before(planner_.stream());
}

// Carries a planned round out.
void TieredStore::bring_round(const Round& round, const kernels::RowArena& arena,
                              StallClock::HostTime& host) {
  write_victims(round, host);
  mover_.follow(planner_.stream());
  exchange(round, arena);
  mover_.fill_after_write_back();
  if (round.untouched > 0) {
    StreamClock::Span span = times_.start(mover_.page_in());
    mover_.generate(arena, round.untouched_rows, round.untouched_slots, round.untouched);
    times_.stop(std::move(span), mover_.page_in(), ledger_.account(), Field::kGeneratedTime);
    book_records(Field::kGeneratedRows, round.untouched);
  }
  if (round.on_disk > 0) {
    const auto start = Clock::now();
    planner_.stream().synchronize();  // then round.disk_slots can be read
    page_in_.bring(round.disk_rows, round.disk_slots, arena);
    host.disk_us += io::elapsed_us(start);
    book_reading();
  }
  const Victims spare = planner_.end_round(&mover_.page_in(), &mover_.write_back());
  if (spare.empty()) return;
  const auto start = Clock::now();
  write_back_.write_host_victims(spare);
  host.room_us += io::elapsed_us(start);
}

// Both directions are queued together, so that the time of one holds its waits for the other.
void TieredStore::exchange(const Round& round, const kernels::RowArena& arena) {
  const bool arrives = round.exchange.arriving > 0, leaves = round.exchange.leaving > 0;
  StreamClock::Span in, out;
  if (arrives) in = times_.start(mover_.page_in());
  if (leaves) out = times_.start(mover_.write_back());
  mover_.exchange(arena, round.exchange);
  if (arrives) {
    times_.stop(std::move(in), mover_.page_in(), ledger_.account(), Field::kHostToDeviceTime);
    book_records(Field::kHostToDeviceRows, round.exchange.arriving);
  }
  if (leaves) {
    times_.stop(std::move(out), mover_.write_back(), ledger_.account(), Field::kDeviceToHostTime);
  }
}

void TieredStore::write_victims(const Round& round, StallClock::HostTime& host) {
  if (round.victims == 0 && round.host_victims.empty()) return;
  const auto start = Clock::now();
  ledger_.book(Field::kDeviceVictims, static_cast<std::uint64_t>(round.victims));
  plan_books_.leave(round.exchange.leaving);
  write_back_.write_host_victims(round.host_victims);
  write_back_.write_device_victims(round.device_victims);
  host.room_us += io::elapsed_us(start);
}

void TieredStore::release(PlannedLease& lease, kernels::Stream& compute) {
  std::exception_ptr failure;
  try {
    // The caller's queued work may still use the rows, so the store's next work waits for it.
    compute.record(*event_);
    planner_.stream().wait(*event_);
  } catch (...) {
    failure = std::current_exception();
  }
  trace_lease_event(TraceKind::kEndLease, lease);
  planner_.end_lease(lease);
  if (failure) std::rethrow_exception(failure);
}

void TieredStore::end(PlannedLease& lease, kernels::Stream& compute) noexcept {
  --leases_;
  try {
    release(lease, compute);
  } catch (const std::exception& error) {
    if (failure_.empty()) failure_ = error.what();
  }
}

std::vector<kernels::RowId> TieredStore::hint(const Hint& hint) {
  return guarded([&] {
    CHECK(hint.tier == Place::kHost || hint.tier == Place::kDevice);
    const auto start = Clock::now();
    looked_up_ = {};
    ledger_.open({Cause::kPrefetch, hint.layer});
    ledger_.book(Field::kHinted, hint.rows.size());
    StallClock::HostTime host;
    // Rows of an earlier step's hint may have to go.
    if (snapshot_.is_open() || hinted_step_ != step_) await_hinted();
    snapshot_.write_some();
    host.save_us = io::elapsed_us(start);
    trace_hint(hint);
    std::vector<kernels::RowId> planned;
    if (sizes_.host == 0) {
      ledger_.book(Field::kHintsDropped, hint.rows.size());  // nowhere to put them, or to take from
    } else if (hint.tier == Place::kHost) {
      planned = hint_to_host(hint, host);
    } else {
      planned = hint_to_device(hint, host);
    }
    const std::uint64_t waited = host.room_us + host.disk_us + host.hint_us + host.save_us;
    const std::uint64_t all = io::elapsed_us(start);
    ledger_.book(Field::kStallPlan, all - std::min(all, waited));
    ledger_.book(Field::kStallWriteBack, host.room_us);
    ledger_.book(Field::kStallHint, host.hint_us);
    ledger_.book(Field::kStallCheckpoint, host.save_us);
    return planned;
  });
}

void TieredStore::locate(std::span<const kernels::RowId> rows, std::span<Place> places) {
  guarded([&] { planner_.locate(rows, places); });
}

void TieredStore::book_hint(const PlannedHint& planned) {
  plan_books_.hint(planned);
  // What has happened until now is of the account before.
  plan_books_.report(planner_.report());
}

std::vector<kernels::RowId> TieredStore::hint_to_host(const Hint& hint,
                                                      StallClock::HostTime& host) {
  const auto most = static_cast<std::int64_t>(hint.byte_budget / mover_.record_bytes());
  PlannedHint planned = planner_.plan_hint_to_host(hint.rows, most, hint.step);
  book_hint(planned);
  const auto start = Clock::now();
  write_back_.write_host_victims(planned.host_victims);
  // The slots' last records may still be on their way to the device.
  mover_.synchronize();
  host.room_us += io::elapsed_us(start);
  settle_unready(planned.rows);
  hints_.add(planned.rows, planned.slots);
  hints_.collect();
  return std::move(planned.rows);
}

std::vector<kernels::RowId> TieredStore::hint_to_device(const Hint& hint,
                                                        StallClock::HostTime& host) {
  const auto most = static_cast<std::int64_t>(hint.byte_budget / mover_.record_bytes());
  PlannedHint planned = planner_.plan_hint_to_device(hint.rows, most, hint.step);
  book_hint(planned);
  if (planned.rows.empty()) return {};
  plan_books_.bind();
  wait_for_hints(planner_.found(), host);
  Round round;
  while (planner_.next_round(round)) {
    planner_.plan(round);
    bring_round(round, mover_.arena(), host);
  }
  planner_.finish_lease();
  mover_.page_in().record(*hinted_arrived_);
  hinted_arrive_ = true;
  hinted_step_ = step_;
  return std::move(planned.rows);
}

}  // namespace mneme::offload
