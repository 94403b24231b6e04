#include "offload/replay/replay_clock.h"

#include <algorithm>
#include <utility>

#include "offload/mover/row_transfers.h"

namespace mneme::offload {
namespace {

// When the entries of one direction of an exchange are through.
class Direction {
 public:
  std::int64_t done() const { return transfers_.empty() ? 0 : transfers_.back().end; }
  void add(std::int64_t end, double time) { transfers_.push_back({end, time}); }
  // Of the first `entries` ones; not before `start`.
  double time_of(std::int64_t entries, double start) const {
    if (entries <= 0) return start;
    for (const Transfer& transfer : transfers_) {
      if (transfer.end >= entries) return std::max(start, transfer.time);
    }
    return start;
  }

 private:
  struct Transfer {
    std::int64_t end = 0;
    double time = 0;
  };
  std::vector<Transfer> transfers_;
};

}  // namespace

ReplayClock::ReplayClock(const ReplaySpeeds& speeds, std::uint64_t rows, double write_room)
    : speeds_(speeds),
      in_(speeds.host_link),
      out_(speeds.host_link),
      disk_(speeds.disk_link),
      write_room_(write_room),
      fetches_(speeds.disk_link > 0 ? rows : 0) {}

void ReplayClock::compute(double seconds) {
  now_ += seconds;
  computed_ += seconds;
}

void ReplayClock::begin_step() {
  compute(std::exchange(step_left_, speeds_.step_seconds));
  leases_before_ = std::exchange(leases_, 0);
}

void ReplayClock::begin_lease(bool starts_beside, bool takes_hinted) {
  start_ = starts_beside ? part_began_ : now_;
  arrived_ = takes_hinted ? std::max(start_, hinted_to_device_) : start_;
  left_ = disk_done_ = room_done_ = hints_done_ = start_;
}

std::uint64_t ReplayClock::take_hinted(const std::vector<kernels::RowId>& rows) {
  if (fetches_.empty()) return 0;
  std::uint64_t late = 0;
  for (const kernels::RowId row : rows) {
    const std::uint64_t number = std::exchange(fetches_[row], 0);
    if (number == 0 || disk_.is_through(start_, number)) continue;
    ++late;
    hints_done_ = std::max(hints_done_, disk_.hurry(start_, number));
  }
  return late;
}

void ReplayClock::leave(double bytes) {
  if (bytes > 0) left_ = out_.transfer(start_, bytes);
}

// As RowTransfers::exchange() queues it.
void ReplayClock::exchange(const Exchange& exchange, double record_bytes, std::int64_t most_rows) {
  const std::int64_t most =
      RowTransfers::rows_of_a_transfer(std::max(exchange.arriving, exchange.leaving),
                                       static_cast<std::size_t>(record_bytes), most_rows);
  // Neither begins before what the other had to do is done.
  const double start = std::max({start_, in_.free_at(start_), out_.free_at(start_)});
  Direction in, out;
  while (in.done() < exchange.arriving || out.done() < exchange.leaving) {
    const std::int64_t out_end =
        std::min({exchange.leaving, out.done() + most, exchange.free_host + in.done()});
    if (out_end > out.done()) {
      const double from = in.time_of(out_end - exchange.free_host, start);
      left_ = out_.transfer(from, record_bytes * static_cast<double>(out_end - out.done()));
      out.add(out_end, left_);
    }
    const std::int64_t in_end =
        std::min({exchange.arriving, in.done() + most, exchange.free_device + out.done()});
    if (in_end > in.done()) {
      const double from = std::max(out.time_of(in_end - exchange.free_device, start), hints_done_);
      const double end = in_.transfer(from, record_bytes * static_cast<double>(in_end - in.done()));
      arrived_ = std::max(arrived_, end);
      in.add(in_end, end);
    }
  }
}

void ReplayClock::generate(double bytes) {
  if (bytes <= 0 || speeds_.generate <= 0) return;
  arrived_ = std::max(arrived_, in_.hold(left_, bytes / speeds_.generate));
}

void ReplayClock::start_read(double disk_bytes) {
  if (disk_bytes <= 0 || speeds_.free_reads) return;
  disk_done_ = std::max(disk_done_, disk_.transfer(start_, disk_bytes));
}

void ReplayClock::arrive(double bytes) {
  if (bytes <= 0) return;
  arrived_ = std::max({arrived_, in_.transfer(left_, bytes), disk_done_});
}

void ReplayClock::write(double disk_bytes) {
  if (disk_bytes <= 0 || speeds_.free_writes || speeds_.disk_link <= 0) return;
  const double end = disk_.transfer(start_, disk_bytes);
  room_done_ = std::max(room_done_, end - write_room_ / speeds_.disk_link);
}

void ReplayClock::save(double disk_bytes) {
  if (disk_bytes <= 0 || speeds_.free_writes) return;
  disk_.add_waiting(start_, disk_bytes);
  if (disk_.waiting_bytes(start_) > write_room_) {
    room_done_ = std::max(room_done_, disk_.hurry_down_to(start_, write_room_));
  }
}

ReplayClock::Waits ReplayClock::end_lease(bool is_last_part) {
  const double end = std::max({now_, arrived_, disk_done_, room_done_, hints_done_});
  // As the store splits its waits: room, the disk, hints; what is left is the host link's.
  Waits waits;
  double from = now_;
  const auto take = [&](double& wait, double until) {
    wait = std::max(0.0, std::min(until, end) - from);
    from += wait;
  };
  take(waits.write_back, room_done_);
  take(waits.disk, disk_done_);
  take(waits.hint, hints_done_);
  take(waits.host, end);
  now_ = part_began_ = end;
  if (!is_last_part) return waits;
  ++leases_;
  const double each =
      leases_before_ == 0 ? 0 : speeds_.step_seconds / static_cast<double>(leases_before_);
  const double share = std::min(step_left_, each);
  step_left_ -= share;
  compute(share);
  return waits;
}

void ReplayClock::fetch(kernels::RowId row, double disk_bytes) {
  if (fetches_.empty() || speeds_.free_reads) return;
  fetches_[row] = disk_.add_waiting(now_, disk_bytes);
}

void ReplayClock::forget(kernels::RowId row) {
  if (fetches_.empty() || fetches_[row] == 0) return;
  disk_.withdraw(start_, std::exchange(fetches_[row], 0));
}

void ReplayClock::begin_hint(bool beside) {
  begin_lease(beside, true);
}

void ReplayClock::end_hint() {
  hinted_to_device_ = std::max({arrived_, disk_done_, hints_done_});
}

}  // namespace mneme::offload
