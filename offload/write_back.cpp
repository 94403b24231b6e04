#include "offload/write_back.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "io/check.h"

namespace mneme::offload {

using kernels::Place;
using kernels::RowId;
using kernels::SlotId;

WriteBack::WriteBack(kernels::Backend& backend, Planner& planner, Mover& mover, DiskEngine& disk,
                     HintReads& hints, Ledger& ledger)
    : planner_(planner),
      mover_(mover),
      disk_(disk),
      hints_(hints),
      ledger_(ledger),
      staged_(kernels::pinned_array<SlotId>(backend, disk.write_batch())),
      batch_(kernels::pinned_array<SlotId>(backend, disk.write_batch())) {}

void WriteBack::assign(std::span<SlotId> buffers, std::span<const RowId> rows) {
  for (;;) {
    const std::size_t more = disk_.assign_writes(buffers, rows);
    if (more == rows.size()) return;
    buffers = buffers.subspan(more);
    rows = rows.subspan(more);
    reclaim_stale_slots(rows);
    disk_.require_slot();
  }
}

void WriteBack::queue(std::span<const SlotId> buffers, Field move) {
  disk_.queue_writes(buffers);
  ledger_.book_move(move, buffers.size(), buffers.size() * disk_.slot_bytes());
}

void WriteBack::submit(Field move) {
  const std::span buffers(staged_.data(), batch_rows_.size());
  assign(buffers, batch_rows_);
  queue(buffers, move);
  start_batch();
}

void WriteBack::book_time(Field move) {
  const std::uint64_t now = disk_.busy_times().write_us;
  ledger_.book(Ledger::time_of(move), now - std::exchange(booked_us_, now));
}

void WriteBack::write_host_victims(const Victims& victims) {
  if (victims.empty()) return;
  bool arrived = false;
  std::uint64_t dropped = 0, wasted = 0;
  start_batch();
  for (std::size_t i = 0; i < victims.slots.size(); ++i) {
    if ((victims.state[i] & kernels::kPrefetched) != 0) {
      ++wasted;
      hints_.cancel(victims.rows[i]);
    }
    if ((victims.state[i] & kernels::kDirty) == 0) {
      ++dropped;
      continue;
    }
    // Records may still be on their way into host memory.
    if (!std::exchange(arrived, true)) mover_.write_back().synchronize();
    add_to_batch(victims.slots[i], victims.rows[i]);
    if (is_full()) write_host_records();
  }
  write_host_records();
  ledger_.book(Field::kHostVictims, victims.slots.size());
  ledger_.book(Field::kDropped, dropped);
  ledger_.book(Field::kHintsWasted, wasted);
  book_time(Field::kHostToDiskRows);
}

void WriteBack::start_batch() {
  batch_rows_.clear();
}

void WriteBack::add_to_batch(SlotId slot, RowId row) {
  batch_[std::ssize(batch_rows_)] = slot;
  batch_rows_.push_back(row);
}

bool WriteBack::is_full() const {
  return std::ssize(batch_rows_) == disk_.write_batch();
}

void WriteBack::write_host_records() {
  const auto count = std::ssize(batch_rows_);
  disk_.stage_writes({staged_.data(), static_cast<std::size_t>(count)});
  for (std::int64_t i = 0; i < count; ++i) {
    std::memcpy(disk_.write_payload(staged_[i]), mover_.host_record(batch_[i]),
                mover_.record_bytes());
  }
  submit(Field::kHostToDiskRows);
}

void WriteBack::write_device_victims(const Victims& victims) {
  if (victims.empty()) return;
  mover_.follow(planner_.stream());
  std::uint64_t dropped = 0;
  start_batch();
  for (std::size_t i = 0; i < victims.slots.size(); ++i) {
    if ((victims.state[i] & kernels::kDirty) == 0) {
      ++dropped;
      continue;
    }
    add_to_batch(victims.slots[i], victims.rows[i]);
    if (is_full()) write_device_records();
  }
  write_device_records();
  ledger_.book(Field::kDropped, dropped);
  book_time(Field::kDeviceToDiskRows);
}

void WriteBack::write_device_records() {
  const std::int64_t count = std::ssize(batch_rows_);
  if (count == 0) return;
  disk_.stage_writes({staged_.data(), static_cast<std::size_t>(count)});
  mover_.pack_to_staging(disk_.staging(), staged_.data(), batch_.data(), count);
  mover_.write_back().synchronize();
  submit(Field::kDeviceToDiskRows);
}

// A row that came back from the disk and changed has left a slot there that only checkpoints may
// still want. It keeps the slot until it is written again, unless the disk is full. submitted: rows
// that are no longer dirty, and not written yet.
void WriteBack::reclaim_stale_slots(std::span<const RowId> submitted) {
  // A slot whose write is on its way is of no use to anybody yet.
  disk_.finish_writes();
  for (const RowId row : submitted) disk_.give_up(row);
  for (const Place tier : {Place::kDevice, Place::kHost}) {
    for (const RowId row : planner_.dirty(tier).rows) disk_.give_up(row);
  }
}

WriteBack::Need WriteBack::need_with(std::span<const RowId> rows) {
  std::vector<RowId> dirty(rows.begin(), rows.end());
  for (const Place tier : {Place::kDevice, Place::kHost}) {
    const Planner::DirtyRows listed = planner_.dirty(tier);
    dirty.insert(dirty.end(), listed.rows.begin(), listed.rows.end());
  }
  std::sort(dirty.begin(), dirty.end());
  dirty.erase(std::unique(dirty.begin(), dirty.end()), dirty.end());
  Need need{dirty.size(), 0};
  for (const RowId row : dirty) need.given_up += disk_.gives_up_slot(row) ? 1 : 0;
  return need;
}

}  // namespace mneme::offload
