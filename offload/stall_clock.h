// How long the caller's stream stood still for a lease, measured by events in its stream, which
// nobody waits for: they are read when they have been reached.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "offload/counters.h"

namespace mneme::offload {

class StallClock {
 public:
  explicit StallClock(kernels::Backend& backend) : backend_(backend) {}

  // What the host did meanwhile, by its own clock.
  struct HostTime {
    std::uint64_t disk_us = 0;  // reading from the disk
    std::uint64_t room_us = 0;  // making room
    bool missing = false;       // rows were missing
  };

  // One lease, in this order; `start` when its caller's work so far is queued on `compute`.
  void start(kernels::Stream& compute);
  void planned(kernels::Stream& plan);
  // Before the lease's rows count as ready on `compute`, which waits for them.
  void resumed(kernels::Stream& compute, const HostTime& host);
  // An error came between.
  void forget();
  // Adds what has been reached.
  void collect(StepCounters& counters);

 private:
  struct Lease {
    std::unique_ptr<kernels::Event> start, planned, resumed;
    HostTime host;
  };
  static void add(const Lease& lease, StepCounters& counters);

  kernels::Backend& backend_;
  std::vector<Lease> spare_;
  Lease current_;
  std::deque<Lease> under_way_;
};

}  // namespace mneme::offload
