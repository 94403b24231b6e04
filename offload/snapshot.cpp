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

// That copies of rows may take which no lease has asked for.
constexpr double kOthersSeconds = 0.003;
constexpr std::int64_t kFewestOthers = 256;

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
    : backend_(backend),
      planner_(planner),
      mover_(mover),
      disk_(disk),
      write_back_(write_back),
      ledger_(ledger) {}

Snapshot::~Snapshot() {
  try {
    mover_.write_back().synchronize();
  } catch (const std::exception&) {
    // Nobody is left to tell.
  }
}

void Snapshot::begin() {
  settle();
  rows_ = planner_.begin_save();
  next_ = 0;
  disk_.begin_save(rows_);
}

void Snapshot::settle() {
  if (copying_.empty()) return;
  const CheckpointBooking booking(ledger_);
  while (!copying_.empty()) submit_first();
}

// Copies that are done go to the disk.
void Snapshot::submit_copied() {
  while (!copying_.empty() && copying_.front()->done->reached()) submit_first();
}

void Snapshot::copy_leased(const RowId* rows, std::int64_t count) {
  const CheckpointBooking booking(ledger_);
  submit_copied();
  const std::int64_t most = planner_.most_taken();
  for (std::int64_t first = 0; is_open() && first < count; first += most) {
    copy(planner_.take_unsaved(rows + first, std::min(most, count - first), MemoryKind::kDevice));
  }
  mover_.leave_before(planner_.stream());
}

void Snapshot::write_some() {
  if (copying_.empty() && !is_open()) return;
  const CheckpointBooking booking(ledger_);
  submit_copied();
  if (const std::int64_t most = most_others(); most > 0) write_next(most);
  book_time();
}

// How many rows that no lease asks for are copied next. Most of the buffers are for those that
// leases will change, which must not wait for the disk, nor for long copies of others in front of
// them. Very few would cost more plans than they are worth.
std::int64_t Snapshot::most_others() const {
  const std::int64_t spare = disk_.free_save_buffers() - disk_.save_buffers() * 3 / 4;
  if (spare < disk_.save_buffers() / 16) return 0;
  if (copied_per_second_ == 0) return std::min(spare, kMostCopied);
  const auto soon_copied = static_cast<std::int64_t>(copied_per_second_ * kOthersSeconds);
  return std::min(spare, std::max(soon_copied, kFewestOthers));
}

bool Snapshot::is_written() {
  return copying_.empty() && disk_.is_saved();
}

void Snapshot::finish() {
  const CheckpointBooking booking(ledger_);
  {
    const std::uint64_t all = disk_.unsaved_rows();
    io::Phase phase("rows to the disk", all, "rows");
    while (is_open()) {
      CHECK(next_ < rows_.size(), "{} rows of a checkpoint are lost", disk_.unsaved_rows());
      write_next(std::max<std::int64_t>(kMostCopied, disk_.save_buffers() / 8));
      // The next ones are copied while those before them are written.
      while (copying_rows_ > static_cast<std::uint64_t>(disk_.save_buffers()) / 4) submit_first();
      phase.reach(all - disk_.unsaved_rows());
    }
    settle();
    disk_.finish_writes();
  }
  book_time();
}

void Snapshot::write_next(std::int64_t most) {
  copy(take_next(most));
}

Planner::Unsaved Snapshot::take_next(std::int64_t most) {
  std::vector<RowId> batch;
  most = std::min(most, planner_.most_taken());
  if (tell_) tell_(most);
  for (; next_ < rows_.size() && std::ssize(batch) < most; ++next_) {
    if (disk_.is_unsaved(rows_[next_])) batch.push_back(rows_[next_]);
  }
  if (batch.empty()) return {};
  return planner_.take_unsaved(batch.data(), std::ssize(batch), MemoryKind::kPinnedHost);
}

void Snapshot::copy(const Planner::Unsaved& taken) {
  if (!taken.device_rows.empty()) mover_.follow(planner_.stream());
  copy(Field::kDeviceToDiskRows, taken.device_rows, taken.device_slots);
  copy(Field::kHostToDiskRows, taken.host_rows, taken.host_slots);
}

void Snapshot::copy(Field move, std::span<const RowId> rows, std::span<const SlotId> slots) {
  while (!rows.empty()) {
    std::unique_ptr<Copies> copies = spare_copies();
    const std::int64_t count = stage(*copies, std::ssize(rows));
    const auto taken = static_cast<std::size_t>(count);
    copies->move = move;
    copies->count = count;
    write_back_.assign({copies->buffers.data(), taken}, rows.first(taken));
    std::copy_n(slots.begin(), count, copies->slots.data());
    mover_.write_back().record(*copies->began);
    if (move == Field::kDeviceToDiskRows) {
      mover_.pack_to_staging(disk_.staging(), copies->buffers.data(), copies->slots.data(), count);
    } else {
      mover_.write_back().run_on_host([this, copies = copies.get()] {
        for (std::int64_t i = 0; i < copies->count; ++i) {
          std::memcpy(disk_.write_payload(copies->buffers[i]), mover_.host_record(copies->slots[i]),
                      mover_.record_bytes());
        }
      });
    }
    mover_.write_back().record(*copies->done);
    copying_.push_back(std::move(copies));
    copying_rows_ += taken;
    rows = rows.subspan(taken);
    slots = slots.subspan(taken);
  }
}

std::unique_ptr<Snapshot::Copies> Snapshot::spare_copies() {
  if (spare_.empty()) {
    auto made = std::make_unique<Copies>();
    made->buffers = kernels::pinned_array<SlotId>(backend_, kMostCopied);
    made->slots = kernels::pinned_array<SlotId>(backend_, kMostCopied);
    made->began = backend_.create_event();
    made->done = backend_.create_event();
    return made;
  }
  std::unique_ptr<Copies> copies = std::move(spare_.back());
  spare_.pop_back();
  return copies;
}

std::int64_t Snapshot::stage(Copies& copies, std::int64_t rows) {
  const auto most = static_cast<std::size_t>(std::min(rows, kMostCopied));
  for (;;) {
    const std::size_t staged = disk_.stage_saves({copies.buffers.data(), most});
    if (staged > 0) return static_cast<std::int64_t>(staged);
    // Those that are being copied come free only when they are on disk.
    if (!copying_.empty()) {
      submit_first();
    } else {
      disk_.await_save_buffers();
    }
  }
}

void Snapshot::submit_first() {
  Copies& first = *copying_.front();
  first.done->synchronize();
  write_back_.queue({first.buffers.data(), static_cast<std::size_t>(first.count)}, first.move);
  copying_rows_ -= static_cast<std::uint64_t>(first.count);
  const double seconds = std::max(1e-6, first.done->seconds_since(*first.began));
  const double now = static_cast<double>(first.count) / seconds;
  copied_per_second_ = copied_per_second_ == 0 ? now : 0.75 * copied_per_second_ + 0.25 * now;
  spare_.push_back(std::move(copying_.front()));
  copying_.pop_front();
}

void Snapshot::book_time() {
  const std::uint64_t now = disk_.busy_times().save_us;
  ledger_.book(Ledger::time_of(Field::kHostToDiskRows), now - std::exchange(booked_us_, now));
}

}  // namespace mneme::offload
