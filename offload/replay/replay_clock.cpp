#include "offload/replay/replay_clock.h"

#include <algorithm>
#include <utility>

namespace mneme::offload {

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

void ReplayClock::arrive(double bytes) {
  if (bytes > 0) arrived_ = std::max(arrived_, in_.transfer(std::max(start_, hints_done_), bytes));
}

void ReplayClock::read(double disk_bytes, double bytes) {
  if (disk_bytes <= 0 && bytes <= 0) return;
  disk_done_ = std::max(disk_done_, disk_.transfer(start_, disk_bytes));
  arrived_ = std::max({arrived_, in_.transfer(left_, bytes), disk_done_});
}

void ReplayClock::write(double disk_bytes) {
  if (disk_bytes <= 0) return;
  disk_.add_waiting(start_, disk_bytes);
  if (disk_.waiting_bytes(start_) > write_room_) {
    room_done_ = std::max(room_done_, disk_.hurry_down_to(start_, write_room_));
  }
}

ReplayClock::Waits ReplayClock::end_lease(std::int64_t parts) {
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
  ++leases_;
  const double each =
      leases_before_ == 0
          ? 0
          : speeds_.step_seconds / static_cast<double>(leases_before_) / static_cast<double>(parts);
  const double share = std::min(step_left_, each);
  step_left_ -= share;
  compute(share);
  return waits;
}

void ReplayClock::fetch(kernels::RowId row, double disk_bytes) {
  if (!fetches_.empty()) fetches_[row] = disk_.add_waiting(now_, disk_bytes);
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
