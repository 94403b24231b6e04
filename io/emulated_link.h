// A link of a given speed, as a queue with a clock: a transfer starts when it is asked for or when
// the one before is through, whichever is later, and takes its bytes over the speed. So transfers
// of whoever uses the link wait for each other, and nobody else does.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>

namespace mneme::io {

// May be used from several threads at once.
class EmulatedLink {
 public:
  using Clock = std::chrono::steady_clock;

  // 0: not emulated, every transfer is through at once.
  explicit EmulatedLink(double bytes_per_second) : bytes_per_second_(bytes_per_second) {}

  bool is_emulated() const { return bytes_per_second_ > 0; }
  // When a transfer that is asked for at `now` will be through.
  Clock::time_point transfer(Clock::time_point now, std::uint64_t bytes);

 private:
  const double bytes_per_second_;
  std::mutex mutex_;
  Clock::time_point free_{};  // when the last transfer is through
};

}  // namespace mneme::io
