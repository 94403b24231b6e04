#include "offload/stall_clock.h"

#include <algorithm>

namespace mneme::offload {

void StallClock::start(kernels::Stream& compute) {
  if (!current_.start) {
    if (spare_.empty()) {
      spare_.push_back(
          {backend_.create_event(), backend_.create_event(), backend_.create_event(), HostTime{}});
    }
    current_ = std::move(spare_.back());
    spare_.pop_back();
  }
  compute.record(*current_.start);
}

void StallClock::planned(kernels::Stream& plan) {
  plan.record(*current_.planned);
}

void StallClock::resumed(kernels::Stream& compute, const HostTime& host) {
  compute.record(*current_.resumed);
  current_.host = host;
  under_way_.push_back(std::move(current_));
  current_ = {};
}

void StallClock::forget() {
  if (current_.start) spare_.push_back(std::move(current_));
  current_ = {};
}

void StallClock::collect(StepCounters& counters) {
  while (!under_way_.empty() && under_way_.front().resumed->reached()) {
    add(under_way_.front(), counters);
    spare_.push_back(std::move(under_way_.front()));
    under_way_.pop_front();
  }
}

// The host's own waits come out of the whole, since the device waited with it; what is left after
// the plan is the transfers.
void StallClock::add(const Lease& lease, StepCounters& counters) {
  const auto us = [](double seconds) {
    return static_cast<std::uint64_t>(std::max(0.0, seconds) * 1e6);
  };
  std::uint64_t left = us(lease.resumed->seconds_since(*lease.start));
  const auto take = [&left](std::uint64_t wanted) {
    const std::uint64_t taken = std::min(left, wanted);
    left -= taken;
    return taken;
  };
  if (!lease.host.missing) {
    counters.stall_plan_us += left;
    return;
  }
  counters.stall_write_back_us += take(lease.host.room_us);
  counters.stall_disk_us += take(lease.host.disk_us);
  counters.stall_plan_us += take(us(lease.planned->seconds_since(*lease.start)));
  counters.stall_host_us += left;
}

}  // namespace mneme::offload
