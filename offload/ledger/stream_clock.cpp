#include "offload/ledger/stream_clock.h"

#include <algorithm>
#include <utility>

namespace mneme::offload {

StreamClock::Span StreamClock::start(kernels::Stream& stream) {
  Span span;
  if (spare_.empty()) {
    span = {.start = backend_.create_event(), .stop = backend_.create_event()};
  } else {
    span = std::move(spare_.back());
    spare_.pop_back();
  }
  stream.record(*span.start);
  return span;
}

void StreamClock::stop(Span span, kernels::Stream& stream, const Account& account, Field field) {
  stream.record(*span.stop);
  span.account = account;
  span.field = field;
  under_way_.push_back(std::move(span));
}

void StreamClock::collect(Ledger& ledger) {
  // Spans of several streams may end in any order.
  for (auto span = under_way_.begin(); span != under_way_.end();) {
    if (!span->stop->reached()) {
      ++span;
      continue;
    }
    const double seconds = std::max(0.0, span->stop->seconds_since(*span->start));
    ledger.book(span->account, span->field, static_cast<std::uint64_t>(1e6 * seconds));
    spare_.push_back(std::move(*span));
    span = under_way_.erase(span);
  }
}

}  // namespace mneme::offload
