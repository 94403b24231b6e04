#include "offload/ledger/stream_clock.h"

#include <algorithm>
#include <utility>

#include "io/timeline.h"

namespace mneme::offload {

StreamClock::Span StreamClock::start(kernels::Stream& stream) {
  if (!times_ && io::Timeline::current() != nullptr)
    times_ = kernels::StreamTimes::of(backend_, stream);
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

// On the track of the stream that works on such moves.
void StreamClock::show(const Span& span) const {
  io::Timeline* const timeline = io::Timeline::current();
  if (timeline == nullptr || !times_) return;
  const bool leaves = span.field == Field::kDeviceToHostTime;
  const bool copies = span.field == Field::kDeviceCopyTime;
  std::string_view name = info(span.field).name;
  name.remove_prefix(std::string_view("moves.").size());
  name.remove_suffix(std::string_view(".us").size());
  timeline->add(leaves   ? "4 write-back"
                : copies ? "2 plan"
                         : "3 page-in",
                name, times_->when(*span.start), times_->when(*span.stop));
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
    show(*span);
    spare_.push_back(std::move(*span));
    span = under_way_.erase(span);
  }
}

}  // namespace mneme::offload
