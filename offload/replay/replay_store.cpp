#include "offload/replay/replay_store.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "io/check.h"
#include "io/elapsed.h"
#include "io/error.h"
#include "offload/disk/disk_engine.h"

namespace mneme::offload {

using kernels::RowId;

ReplayStore::ReplayStore(kernels::Backend& backend, const TraceHeader& header,
                         const ReplayStoreOptions& options)
    : backend_(backend),
      header_(header),
      options_(options),
      on_disk_(header.rows),
      unsaved_(header.rows) {
  if (options.future == nullptr) return;
  next_use_ = {backend, static_cast<std::int64_t>(header.rows)};
  std::fill_n(next_use_.data(), header.rows, NextUses::kNever);
}

ReplayStore::~ReplayStore() = default;

void ReplayStore::apply(const TraceEvent& event) {
  if (event.kind != TraceKind::kStart && !planner_) io::fail("a trace begins with a start");
  switch (event.kind) {
    case TraceKind::kStart:
      return start(event);
    case TraceKind::kStep:
      if (clock_) clock_->begin_step();
      step_is_over_ = false;
      return planner().begin_step(event.number);
    case TraceKind::kEndStep:
      step_is_over_ = true;
      return planner().end_step();
    case TraceKind::kPredictors:
      return;  // hints are recorded one by one
    case TraceKind::kLease:
      return timed([&] { lease(event); });
    case TraceKind::kPart:
      return timed([&] { take_recorded(event); });
    case TraceKind::kMarkDirty:
      return planner().mark_dirty(live(event));
    case TraceKind::kEndLease:
      return end_lease(event);
    case TraceKind::kHint:
      hint(event);
      return;
    case TraceKind::kCheckpoint:
      return begin_checkpoint();
    case TraceKind::kSave:
      return save_next(static_cast<std::int64_t>(event.number));
    case TraceKind::kDiskSlot:
      disk_slot_bytes_ = event.number;
      return;
    case TraceKind::kCommit:
    case TraceKind::kRelease:
    case TraceKind::kTokens:
    case TraceKind::kLookups:
      return;
  }
}

template <typename Work>
void ReplayStore::timed(const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  plan_seconds_ += 1e-3 * io::elapsed_ms(start);
}

// The tiers are empty, and all that has a record is on disk.
void ReplayStore::start(const TraceEvent& event) {
  if (planner_) {
    plan_books_->report(planner().settle());
  }
  if (!event.continues) {
    std::fill(on_disk_.begin(), on_disk_.end(), false);
    for (const RowId row : event.list) {
      if (row >= header_.rows) io::fail("row {} of a table of {}", row, header_.rows);
      on_disk_[row] = true;
    }
  } else {
    for (const RowId row : save_rows_) on_disk_[row] = true;
  }
  std::fill(unsaved_.begin(), unsaved_.end(), false);
  unsaved_rows_ = 0;
  save_rows_.clear();
  leases_.clear();
  recorded_.reset();
  tiers_ = options_.tiers.value_or(event.tiers);
  if (tiers_.device_slots == 0 || tiers_.device_slots > TierSlots::kMost ||
      tiers_.host_slots > TierSlots::kMost || tiers_.evaluation_slots > TierSlots::kMost) {
    io::fail("tiers of {} device slots, {} for evaluation and {} host slots", tiers_.device_slots,
             tiers_.evaluation_slots, tiers_.host_slots);
  }
  plan_books_.emplace(ledger_, tiers_.record_bytes);
  planner_.reset();
  planner_ = std::make_unique<Planner>(
      backend_,
      PlannerOptions{.rows = header_.rows,
                     .device_slots = static_cast<std::uint32_t>(tiers_.device_slots),
                     .evaluation_slots = static_cast<std::uint32_t>(tiers_.evaluation_slots),
                     .host_slots = static_cast<std::uint32_t>(tiers_.host_slots),
                     .has_disk = tiers_.disks > 0,
                     .transfer_rows = static_cast<std::int64_t>(tiers_.transfer_rows),
                     .device_policy = tiers_.device_policy,
                     .host_policy = tiers_.host_policy,
                     .seed = header_.seed,
                     .next_use = options_.future != nullptr ? next_use_.data() : nullptr});
  if (options_.speeds && !clock_) {
    const std::uint64_t record_bytes = std::max<std::uint64_t>(1, tiers_.record_bytes);
    const std::uint64_t write_room =
        tiers_.disks * record_bytes *
        std::min<std::uint64_t>(kMostWriteBuffers, kWriteBytes / record_bytes);
    clock_.emplace(*options_.speeds, header_.rows, static_cast<double>(write_room));
  }
  std::vector<RowId> rows;
  for (std::size_t row = 0; row < on_disk_.size(); ++row) {
    if (on_disk_[row]) rows.push_back(static_cast<RowId>(row));
  }
  planner().place_on_disk(rows);
}

const RowId* ReplayStore::listed(const std::uint32_t* rows, std::int64_t count) {
  current_rows_ = 1 - current_rows_;
  kernels::DeviceArray<RowId>& list = rows_[current_rows_];
  if (list.count() < count) {
    list = kernels::pinned_array<RowId>(backend_, std::max<std::int64_t>(count, 4096));
  }
  std::copy_n(rows, count, list.data());
  return list.data();
}

void ReplayStore::lease(const TraceEvent& event) {
  const auto count = static_cast<std::int64_t>(event.list.size());
  if (count > 0 && event.list.back() >= header_.rows) {
    io::fail("row {} of a table of {}", event.list.back(), header_.rows);
  }
  if (leases_.contains(event.number)) io::fail("lease {} is live already", event.number);
  first_row_ = next_row_;
  if (!event.read_only) next_row_ += event.list.size();
  const std::size_t part_rows = part_rows_of(event);
  if (event.part_rows == 0 || event.part_rows != part_rows) return take_all(event, part_rows);
  // As the run did: what the trace has between the parts comes there again.
  leases_.emplace(event.number, nullptr);
  recorded_lease_ = event;
  recorded_ = {&recorded_lease_, part_rows};
}

void ReplayStore::end_lease(const TraceEvent& event) {
  const bool is_recorded = recorded_ && recorded_->lease->number == event.number;
  // Where the run failed before the first part there is nothing to end.
  if (!is_recorded || recorded_->next > 0) planner().end_lease(live(event));
  leases_.erase(event.number);
  if (is_recorded) recorded_.reset();
}

PlannedLease& ReplayStore::live(const TraceEvent& event) {
  const auto found = leases_.find(event.number);
  if (found == leases_.end() || found->second == nullptr) {
    io::fail("lease {} is not live", event.number);
  }
  return *found->second;
}

// Of each part of a lease that these tiers cannot hold at once, as memory/row_leases.h cuts it: two
// parts at a time, read-only ones one by one.
std::size_t ReplayStore::part_rows_of(const TraceEvent& lease) {
  const auto capacity = static_cast<std::size_t>(
      planner().capacity(lease.read_only ? PlanMode::kReadOnly : PlanMode::kTrain));
  if (lease.list.size() <= capacity) return std::max<std::size_t>(1, lease.list.size());
  const std::size_t part = lease.read_only ? capacity : capacity / 2;
  if (part < 1) io::fail("lease {} finds no free slot in these tiers", lease.number);
  return part;
}

void ReplayStore::take_all(const TraceEvent& lease, std::size_t part_rows) {
  const std::size_t count = parts_of(lease, part_rows);
  leases_.emplace(lease.number, nullptr);
  Parts parts{&lease, part_rows};
  while (parts.next < count) {
    take_next(parts);
    // The last part becomes dirty with the lease.
    if (lease.changes_rows && parts.next < count) planner().mark_dirty(live(lease));
  }
}

void ReplayStore::take_next(Parts& parts) {
  const TraceEvent& lease = *parts.lease;
  const std::size_t count = parts_of(lease, parts.part_rows);
  if (parts.next >= count) io::fail("lease {} has {} parts", lease.number, count);
  PlannedLease*& last = leases_.at(lease.number);
  if (lease.read_only && last != nullptr) planner().end_lease(*std::exchange(last, nullptr));
  PlannedLease& planned =
      take_lease(lease, part_of(lease, parts.part_rows, parts.next), parts.next, count);
  ++parts.next;
  if (last != nullptr) planner().end_lease(*last);
  last = &planned;
}

// In other tiers than those of the trace its parts are none.
void ReplayStore::take_recorded(const TraceEvent& event) {
  if (recorded_ && recorded_->lease->number == event.number) return take_next(*recorded_);
  live(event);
}

// When the rows of the running lease come again. The planner's stream has nothing to do.
void ReplayStore::look_ahead(const TraceEvent& lease, const TracePart& rows) {
  const std::uint64_t from = first_row_ + rows.first;
  if (from + rows.count > options_.future->size()) {
    io::fail("the trace goes on behind the future that is known of it");
  }
  const std::uint32_t* const next = options_.future->from(from);
  for (std::size_t i = 0; i < rows.count; ++i) next_use_[lease.list[rows.first + i]] = next[i];
  planner().set_next_use_now(static_cast<std::uint32_t>(first_row_));
}

PlannedLease& ReplayStore::take_lease(const TraceEvent& event, const TracePart& of,
                                      std::size_t part, std::size_t parts) {
  const std::uint32_t* const rows = event.list.data() + of.first;
  const auto count = static_cast<std::int64_t>(of.count);
  const Account& account = event.account;
  references_ += static_cast<std::uint64_t>(count);
  planner().look_up({.rows = listed(rows, count), .count = count},
                    event.read_only ? PlanMode::kReadOnly : PlanMode::kTrain);
  const Found& found = planner().found();
  if (options_.future != nullptr && !event.read_only) look_ahead(event, of);
  ledger_.open(account);
  plan_books_->report(planner().report());
  plan_books_->found(found);
  const std::uint64_t used = planner().report().device.prefetch_used;
  const bool takes_hinted = std::exchange(hinted_used_, used) != used;
  if (clock_) {
    const bool rows_are_known = account.pass == Pass::kBackward || account.pass == Pass::kUpdate;
    clock_->begin_lease(part > 0 || rows_are_known,
                        takes_hinted || found.missing() > 0 || event.read_only);
    const std::uint64_t late = clock_->take_hinted({found.hinted.begin(), found.hinted.end()});
    if (late > 0) ledger_.book(Field::kHintsLate, late);
  }
  if (!event.read_only && unsaved_rows_ > 0) save_leased(rows, count);
  PlannedLease& planned = planner().begin_lease();
  if (event.read_only) {
    ledger_.book_move(Field::kDeviceCopyRows, static_cast<std::uint64_t>(found.on_device),
                      static_cast<std::uint64_t>(found.on_device) * tiers_.record_bytes);
  } else {
    plan_books_->bind();
  }
  bring_missing();
  if (event.moves_records) {
    ledger_.book_move(event.read_only ? Field::kRecordsOutRows : Field::kRecordsInRows,
                      static_cast<std::uint64_t>(count),
                      static_cast<std::uint64_t>(count) * tiers_.record_bytes);
  }
  if (clock_) end_clocked_lease(part + 1 == parts);
  return planned;
}

void ReplayStore::end_clocked_lease(bool is_last_part) {
  const ReplayClock::Waits waits = clock_->end_lease(is_last_part);
  const auto book = [this](Field field, double seconds) {
    ledger_.book(field, static_cast<std::uint64_t>(1e6 * seconds + 0.5));
  };
  book(Field::kStallHost, waits.host);
  book(Field::kStallDisk, waits.disk);
  book(Field::kStallWriteBack, waits.write_back);
  book(Field::kStallHint, waits.hint);
}

void ReplayStore::bring_missing() {
  Round round;
  while (planner().next_round(round)) {
    planner().plan(round);
    bring_round(round);
  }
  planner().finish_lease();
}

void ReplayStore::bring_round(Round& round) {
  const auto book = [this](Field field, std::int64_t rows) {
    const auto moved = static_cast<std::uint64_t>(rows);
    ledger_.book_move(field, moved, moved * tiers_.record_bytes);
  };
  if (round.victims > 0) {
    ledger_.book(Field::kDeviceVictims, static_cast<std::uint64_t>(round.victims));
    plan_books_->leave(round.exchange.leaving);
  }
  if (clock_) {
    clock_->start_read(static_cast<double>(disk_slot_bytes_) * static_cast<double>(round.on_disk));
  }
  write_host_victims(round.host_victims);
  write_device_victims(round.device_victims);
  book(Field::kHostToDeviceRows, round.exchange.arriving);
  book(Field::kGeneratedRows, round.untouched);
  ledger_.book(Field::kDiskToDeviceRows, static_cast<std::uint64_t>(round.on_disk));
  if (clock_) {
    const auto record = static_cast<double>(tiers_.record_bytes);
    clock_->leave(record * static_cast<double>(round.device_victims.slots.size()));
    clock_->exchange(round.exchange, record, static_cast<std::int64_t>(tiers_.transfer_rows));
    clock_->generate(record * static_cast<double>(round.untouched));
    clock_->arrive(record * static_cast<double>(round.on_disk));
  }
  write_host_victims(planner().end_round(nullptr, nullptr));
}

std::vector<RowId> ReplayStore::hint(const TraceEvent& event) {
  std::vector<RowId> brought;
  timed([&] { brought = bring_hinted(event); });
  return brought;
}

std::vector<RowId> ReplayStore::bring_hinted(const TraceEvent& event) {
  for (const RowId row : event.list) {
    if (row >= header_.rows) io::fail("row {} of a table of {}", row, header_.rows);
  }
  ledger_.open(event.account);
  ledger_.book(Field::kHinted, event.list.size());
  if (tiers_.host_slots == 0) {
    ledger_.book(Field::kHintsDropped, event.list.size());
    return {};
  }
  const auto most =
      static_cast<std::int64_t>(event.number / std::max<std::uint64_t>(1, tiers_.record_bytes));
  const HintStep step = event.of_running_step ? HintStep::kRunning : HintStep::kNext;
  PlannedHint planned = event.to_device ? planner().plan_hint_to_device(event.list, most, step)
                                        : planner().plan_hint_to_host(event.list, most, step);
  plan_books_->hint(planned);
  plan_books_->report(planner().report());
  if (!event.to_device) {
    write_host_victims(planned.host_victims);
    ledger_.book(Field::kDiskToHostRows, planned.rows.size());
    if (clock_) {
      for (const RowId row : planned.rows) {
        clock_->fetch(row, static_cast<double>(disk_slot_bytes_));
      }
    }
    return std::move(planned.rows);
  }
  if (planned.rows.empty()) return {};
  plan_books_->bind();
  if (clock_) {
    clock_->begin_hint(!step_is_over_);
    const std::span<const RowId> hinted = planner().found().hinted;
    const std::uint64_t late = clock_->take_hinted({hinted.begin(), hinted.end()});
    if (late > 0) ledger_.book(Field::kHintsLate, late);
  }
  bring_missing();
  if (clock_) clock_->end_hint();
  return std::move(planned.rows);
}

void ReplayStore::begin_checkpoint() {
  ledger_.open(kCheckpointAccount);
  save_rows_ = planner().begin_save();
  next_save_ = 0;
  std::fill(unsaved_.begin(), unsaved_.end(), false);
  for (const RowId row : save_rows_) unsaved_[row] = true;
  unsaved_rows_ = save_rows_.size();
}

void ReplayStore::save_next(std::int64_t most) {
  std::vector<RowId> batch;
  most = std::min(most, planner().most_taken());
  for (; next_save_ < save_rows_.size() && std::ssize(batch) < most; ++next_save_) {
    if (unsaved_[save_rows_[next_save_]]) batch.push_back(save_rows_[next_save_]);
  }
  if (!batch.empty()) take_unsaved(batch.data(), std::ssize(batch));
}

void ReplayStore::save_leased(const std::uint32_t* rows, std::int64_t count) {
  const std::int64_t most = planner().most_taken();
  for (std::int64_t first = 0; first < count; first += most) {
    take_unsaved(rows + first, std::min(most, count - first));
  }
}

void ReplayStore::take_unsaved(const RowId* rows, std::int64_t count) {
  const Account account = ledger_.account();
  const Planner::Unsaved taken =
      planner().take_unsaved(rows, count, kernels::MemoryKind::kPinnedHost);
  ledger_.open(kCheckpointAccount);
  write(Field::kDeviceToDiskRows, taken.device_rows);
  write(Field::kHostToDiskRows, taken.host_rows);
  ledger_.open(account);
}

void ReplayStore::write(Field move, std::span<const RowId> rows) {
  ledger_.book(move, rows.size());
  if (clock_) {
    const double bytes = static_cast<double>(disk_slot_bytes_) * static_cast<double>(rows.size());
    if (ledger_.account() == kCheckpointAccount) {
      clock_->save(bytes);
    } else {
      clock_->write(bytes);
    }
  }
  for (const RowId row : rows) {
    on_disk_[row] = true;
    if (!unsaved_[row]) continue;
    unsaved_[row] = false;
    --unsaved_rows_;
  }
}

void ReplayStore::write_host_victims(const Victims& victims) {
  std::vector<RowId> dirty;
  std::uint64_t wasted = 0;
  for (std::size_t i = 0; i < victims.slots.size(); ++i) {
    const bool is_wasted = (victims.state[i] & kernels::kPrefetched) != 0;
    wasted += is_wasted ? 1 : 0;
    if (is_wasted && clock_) clock_->forget(victims.rows[i]);
    if ((victims.state[i] & kernels::kDirty) != 0) dirty.push_back(victims.rows[i]);
  }
  write(Field::kHostToDiskRows, dirty);
  ledger_.book(Field::kHostVictims, victims.slots.size());
  ledger_.book(Field::kDropped, victims.slots.size() - dirty.size());
  ledger_.book(Field::kHintsWasted, wasted);
}

void ReplayStore::write_device_victims(const Victims& victims) {
  std::vector<RowId> dirty;
  for (std::size_t i = 0; i < victims.slots.size(); ++i) {
    if ((victims.state[i] & kernels::kDirty) != 0) dirty.push_back(victims.rows[i]);
  }
  write(Field::kDeviceToDiskRows, dirty);
  ledger_.book(Field::kDropped, victims.slots.size() - dirty.size());
}

Books ReplayStore::books() {
  if (planner_) {
    plan_books_->report(planner().settle());
  }
  ledger_.take();
  Books books = ledger_.all();
  for (const auto& [account, entry] : books.entries()) {
    for (const Field move : {Field::kDiskToDeviceRows, Field::kDeviceToDiskRows,
                             Field::kHostToDiskRows, Field::kDiskToHostRows}) {
      books[account][Ledger::bytes_of(move)] = entry[move] * disk_slot_bytes_;
    }
  }
  return books;
}

}  // namespace mneme::offload
