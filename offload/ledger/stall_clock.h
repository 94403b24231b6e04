// How long the caller's stream stood still for a lease: the time between two events in that stream,
// one before and one after its wait for the lease's rows. Nobody waits for the events; they are
// read at some later call, once they have been reached.
//
// The time is split by what was waited for. The host's own waits come out of the whole first, since
// the device waited with it; then the time up to the event of the plan; what is left is the
// transfers.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "kernels/stream_times.h"
#include "offload/ledger/ledger.h"

namespace mneme::offload {

class StallClock {
 public:
  explicit StallClock(kernels::Backend& backend) : backend_(backend) {}

  // What the host waited for during the lease, by its own clock.
  struct HostTime {
    std::uint64_t room_us = 0;  // victims' records on their way to the disk
    std::uint64_t disk_us = 0;  // reads
    std::uint64_t hint_us = 0;  // rows that a hint had not brought yet
    std::uint64_t save_us = 0;  // records of a checkpoint under way
    bool missing = false;       // rows were missing
  };

  // The calls for one lease, in this order. start(): the work that the caller queued on `compute`
  // before the lease is in front.
  void start(kernels::Stream& compute);
  void planned(kernels::Stream& plan);
  // Around work that the plan has to wait for on account of a checkpoint under way; may be left
  // out.
  void saving(kernels::Stream& plan);
  void saved(kernels::Stream& plan);
  // `compute` has been told to wait for the lease's rows. The time goes to the ledger's account.
  void resumed(kernels::Stream& compute, const HostTime& host, const Ledger& ledger);
  // Instead of resumed(), when the lease failed.
  void forget();
  // Books the leases whose events have been reached since the last call.
  void collect(Ledger& ledger);

 private:
  struct Lease {
    std::unique_ptr<kernels::Event> start, planned, saving, saved, resumed;
    bool saves = false;
    HostTime host = {};
    Account account = {};
  };
  static void book(const Lease& lease, Ledger& ledger);
  void show(const Lease& lease) const;

  kernels::Backend& backend_;
  std::shared_ptr<const kernels::StreamTimes> times_;  // with a timeline
  std::vector<Lease> spare_;
  Lease current_;
  std::deque<Lease> under_way_;
};

}  // namespace mneme::offload
