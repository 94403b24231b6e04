#include "offload/replay/link_clock.h"

#include <algorithm>

namespace mneme::offload {

double LinkClock::transfer(double now, double bytes) {
  if (bytes_per_second_ <= 0) return std::max(free_, now);
  return hold(now, bytes / bytes_per_second_);
}

double LinkClock::hold(double now, double seconds) {
  work_off(now);
  free_ = std::max(free_, now) + seconds;
  return free_;
}

// In the time up to `now` in which no transfer was under way.
void LinkClock::work_off(double now) {
  double bytes = std::max(0.0, now - std::max(worked_, free_)) * bytes_per_second_;
  worked_ = std::max(worked_, now);
  while (bytes > 0 && !waiting_.empty()) {
    Waiting& first = waiting_.front();
    const double done = std::min(bytes, first.bytes);
    bytes -= done;
    first.bytes -= done;
    waiting_bytes_ -= done;
    if (first.bytes > 0) return;
    waiting_.pop_front();
  }
}

std::uint64_t LinkClock::add_waiting(double now, double bytes) {
  ++last_number_;
  if (bytes_per_second_ <= 0) return last_number_;
  work_off(now);
  waiting_.push_back({last_number_, bytes});
  waiting_bytes_ += bytes;
  return last_number_;
}

bool LinkClock::is_through(double now, std::uint64_t number) {
  work_off(now);
  if (waiting_.empty() || number < waiting_.front().number) return true;
  const auto found = std::lower_bound(
      waiting_.begin(), waiting_.end(), number,
      [](const Waiting& waiting, std::uint64_t wanted) { return waiting.number < wanted; });
  return found == waiting_.end() || found->number != number || found->bytes <= 0;
}

// Takes what is left of a number out of the queue; its entry stays, empty.
double LinkClock::take(std::uint64_t number) {
  const auto found = std::lower_bound(
      waiting_.begin(), waiting_.end(), number,
      [](const Waiting& waiting, std::uint64_t wanted) { return waiting.number < wanted; });
  if (found == waiting_.end() || found->number != number) return 0;
  const double bytes = found->bytes;
  found->bytes = 0;
  waiting_bytes_ -= bytes;
  return bytes;
}

double LinkClock::hurry(double now, std::uint64_t number) {
  work_off(now);
  return transfer(now, take(number));
}

void LinkClock::withdraw(double now, std::uint64_t number) {
  work_off(now);
  take(number);
}

double LinkClock::waiting_bytes(double now) {
  work_off(now);
  return waiting_.empty() ? 0 : waiting_bytes_;
}

double LinkClock::hurry_down_to(double now, double bytes) {
  work_off(now);
  double taken = 0;
  while (!waiting_.empty() && waiting_bytes_ > bytes) {
    taken += waiting_.front().bytes;
    waiting_bytes_ -= waiting_.front().bytes;
    waiting_.pop_front();
  }
  return taken > 0 ? transfer(now, taken) : now;
}

}  // namespace mneme::offload
