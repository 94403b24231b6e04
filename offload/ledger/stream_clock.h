// How long work on a stream took: the time between two events in it. Nobody waits for the events;
// they are read at some later call, once they have been reached.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "kernels/stream_times.h"
#include "offload/ledger/ledger.h"

namespace mneme::offload {

class StreamClock {
 public:
  // Work that is being timed.
  struct Span {
    std::unique_ptr<kernels::Event> start, stop;
    Account account = {};
    Field field = Field::kLeases;
  };

  explicit StreamClock(kernels::Backend& backend) : backend_(backend) {}

  // The work to be timed is queued on the stream between the two calls. The time goes to `field` of
  // the account.
  [[nodiscard]] Span start(kernels::Stream& stream);
  void stop(Span span, kernels::Stream& stream, const Account& account, Field field);
  // Books the spans whose events have been reached since the last call.
  void collect(Ledger& ledger);

 private:
  kernels::Backend& backend_;
  void show(const Span& span) const;

  std::shared_ptr<const kernels::StreamTimes> times_;  // with a timeline
  std::vector<Span> spare_;
  std::deque<Span> under_way_;
};

}  // namespace mneme::offload
