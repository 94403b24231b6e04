#include "offload/snapshot.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "io/check.h"
#include "io/progress.h"

namespace mneme::offload {

using kernels::MemoryKind;
using kernels::RowId;
using kernels::SlotId;

namespace {

// What happens meanwhile is booked to the checkpoint.
class CheckpointBooking {
 public:
  explicit CheckpointBooking(Ledger& ledger) : ledger_(ledger), account_(ledger.account()) {
    ledger_.open(kCheckpointAccount);
  }
  ~CheckpointBooking() { ledger_.open(account_); }

 private:
  Ledger& ledger_;
  Account account_;
};

}  // namespace

Snapshot::Snapshot(kernels::Backend& backend, Planner& planner, Mover& mover, DiskEngine& disk,
                   WriteBack& write_back, Ledger& ledger)
    : planner_(planner), mover_(mover), disk_(disk), write_back_(write_back), ledger_(ledger) {
  const std::int64_t batch = std::clamp<std::int64_t>(disk.save_buffers(), 1, planner.most_taken());
  buffers_ = kernels::pinned_array<SlotId>(backend, batch);
  slots_ = kernels::pinned_array<SlotId>(backend, batch);
}

void Snapshot::begin() {
  rows_ = planner_.begin_save();
  next_ = 0;
  disk_.begin_save(rows_);
}

void Snapshot::write_some() {
  if (!is_open()) return;
  const CheckpointBooking booking(ledger_);
  // Few at a time would cost more plans than they are worth.
  const std::int64_t free = disk_.free_save_buffers();
  if (free >= buffers_.count() / 8) write_next(free);
  book_time();
}

void Snapshot::write_next(std::int64_t most) {
  std::vector<RowId> batch;
  most = std::min(most, buffers_.count());
  for (; next_ < rows_.size() && std::ssize(batch) < most; ++next_) {
    if (disk_.is_unsaved(rows_[next_])) batch.push_back(rows_[next_]);
  }
  if (batch.empty()) return;
  write(planner_.take_unsaved(batch.data(), std::ssize(batch), MemoryKind::kPinnedHost));
}

void Snapshot::copy_leased(const RowId* rows, std::int64_t count) {
  if (!is_open()) return;
  const CheckpointBooking booking(ledger_);
  const std::int64_t most = planner_.most_taken();
  for (std::int64_t first = 0; first < count; first += most) {
    write(planner_.take_unsaved(rows + first, std::min(most, count - first), MemoryKind::kDevice));
  }
}

bool Snapshot::is_written() {
  return disk_.is_saved();
}

void Snapshot::finish() {
  const CheckpointBooking booking(ledger_);
  {
    io::Phase phase("rows to the disk", disk_.unsaved_rows(), "rows");
    const std::uint64_t all = disk_.unsaved_rows();
    while (is_open()) {
      CHECK(next_ < rows_.size(), "{} rows of a checkpoint are lost", disk_.unsaved_rows());
      disk_.await_save_buffers();
      write_next(disk_.free_save_buffers());
      phase.reach(all - disk_.unsaved_rows());
    }
    disk_.finish_writes();
  }
  book_time();
}

std::int64_t Snapshot::stage(std::int64_t count) {
  const auto most = static_cast<std::size_t>(std::min(count, buffers_.count()));
  for (;;) {
    const std::size_t staged = disk_.stage_saves({buffers_.data(), most});
    if (staged > 0) return static_cast<std::int64_t>(staged);
    disk_.await_save_buffers();
  }
}

void Snapshot::write(const Planner::Unsaved& taken) {
  const std::int64_t on_device = std::ssize(taken.device_rows);
  const std::int64_t in_host = std::ssize(taken.host_rows);
  if (on_device > 0) mover_.follow(planner_.stream());
  for (std::int64_t first = 0; first < on_device;) {
    const std::int64_t count = stage(on_device - first);
    std::copy_n(taken.device_slots.begin() + first, count, slots_.data());
    mover_.pack_to_staging(disk_.staging(), buffers_.data(), slots_.data(), count);
    mover_.write_back().synchronize();
    write_back_.submit(buffers_.data(), taken.device_rows.data() + first, count,
                       Field::kDeviceToDiskRows);
    first += count;
  }
  // Records may still be on their way into host memory.
  if (in_host > 0) mover_.write_back().synchronize();
  for (std::int64_t first = 0; first < in_host;) {
    const std::int64_t count = stage(in_host - first);
    for (std::int64_t i = 0; i < count; ++i) {
      std::memcpy(disk_.write_payload(buffers_[i]),
                  mover_.host_record(taken.host_slots[static_cast<std::size_t>(first + i)]),
                  mover_.record_bytes());
    }
    write_back_.submit(buffers_.data(), taken.host_rows.data() + first, count,
                       Field::kHostToDiskRows);
    first += count;
  }
}

void Snapshot::book_time() {
  const std::uint64_t now = disk_.busy_times().save_us;
  ledger_.book(Ledger::time_of(Field::kHostToDiskRows), now - std::exchange(booked_us_, now));
}

}  // namespace mneme::offload
