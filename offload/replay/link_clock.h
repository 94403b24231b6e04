// A link of a given speed without waiting for it: when transfers would be through, in seconds of a
// clock that its owner moves. As an emulated link (io/emulated_link.h) it is a queue: a transfer
// starts when it is asked for or when those before are through. Besides it has what the disk engine
// has: work that waits behind all transfers, and is worked off while there are none.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>

namespace mneme::offload {

class LinkClock {
 public:
  // 0: everything is through at once.
  explicit LinkClock(double bytes_per_second) : bytes_per_second_(bytes_per_second) {}

  // Calls come in the order of `now`.
  // Asked for at `now`: when it is through.
  double transfer(double now, double bytes);
  double free_at(double now) const { return std::max(free_, now); }
  // It is not to be used for so long: when that is over.
  double hold(double now, double seconds);

  // Work that waits, in the order in which it came.
  struct Waiting {
    std::uint64_t number = 0;
    double bytes = 0;
  };
  // Numbers count from 1.
  std::uint64_t add_waiting(double now, double bytes);
  // Whether a number is through at `now`.
  bool is_through(double now, std::uint64_t number);
  // Asks now for what is left of it: when it is through.
  double hurry(double now, std::uint64_t number);
  // It is not wanted any more; what has been worked off stays so.
  void withdraw(double now, std::uint64_t number);
  double waiting_bytes(double now);
  // Asks now for the first of what waits, until at most `bytes` are left: when that is through.
  double hurry_down_to(double now, double bytes);

 private:
  void work_off(double now);
  double take(std::uint64_t number);

  double bytes_per_second_;
  double free_ = 0;    // when the transfers are through
  double worked_ = 0;  // up to when waiting work was done
  std::deque<Waiting> waiting_;
  double waiting_bytes_ = 0;
  std::uint64_t last_number_ = 0;
};

}  // namespace mneme::offload
