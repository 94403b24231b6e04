// How long the caller's stream stood still for a lease: the time between two events in that stream,
// one before and one after its wait for the lease's rows. Nobody waits for the events; they are
// read at some later call, once they have been reached.
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

  // What the host did during the lease, by its own clock.
  struct HostTime {
    std::uint64_t disk_us = 0;  // reading from the disk
    std::uint64_t room_us = 0;  // making room
    bool missing = false;       // rows were missing
  };

  // The calls for one lease, in this order. start(): the work that the caller queued on `compute`
  // before the lease is in front.
  void start(kernels::Stream& compute);
  void planned(kernels::Stream& plan);
  // `compute` has been told to wait for the lease's rows.
  void resumed(kernels::Stream& compute, const HostTime& host);
  // Instead of resumed(), when the lease failed.
  void forget();
  // Adds the leases whose events have been reached since the last call.
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
