// The time in which something was under way.
#pragma once

#include <chrono>
#include <cstdint>

namespace mneme::offload {

class BusyTime {
 public:
  // REQUIRES: start() and stop() in turn.
  void start() {
    started_ = Clock::now();
    running_ = true;
  }
  void stop() {
    total_ += Clock::now() - started_;
    running_ = false;
  }
  // The last start.
  std::chrono::steady_clock::time_point started() const { return started_; }
  // So far, what is under way included.
  std::uint64_t us() const {
    const Clock::duration all = total_ + (running_ ? Clock::now() - started_ : Clock::duration{});
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(all).count());
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::duration total_{};
  Clock::time_point started_{};
  bool running_ = false;
};

}  // namespace mneme::offload
