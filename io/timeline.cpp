#include "io/timeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <numeric>

#include "io/check.h"
#include "io/utf8.h"

namespace mneme::io {
namespace {

std::string quoted(const std::string& text) {
  return nlohmann::json(bytes_to_utf8(text)).dump();
}

}  // namespace

std::atomic<Timeline*> Timeline::current_{nullptr};

Timeline::Timeline(std::size_t most_spans) : most_spans_(most_spans) {
  Timeline* none = nullptr;
  CHECK(current_.compare_exchange_strong(none, this), "one timeline at a time");
}

Timeline::~Timeline() {
  current_ = nullptr;
}

std::uint32_t Timeline::number_of(std::vector<std::string>& names, std::string_view name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return static_cast<std::uint32_t>(found - names.begin());
  names.emplace_back(name);
  return static_cast<std::uint32_t>(names.size() - 1);
}

void Timeline::add(std::string_view track, std::string_view name, Clock::time_point begin,
                   Clock::time_point end) {
  if (begin < began_ || end < begin) return;
  const auto ns = [this](Clock::time_point time) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(time - began_).count();
  };
  const std::lock_guard lock(mutex_);
  if (spans_.size() >= most_spans_) {
    ++dropped_;
    return;
  }
  spans_.push_back({number_of(tracks_, track), number_of(names_, name), ns(begin), ns(end)});
}

std::size_t Timeline::spans() const {
  const std::lock_guard lock(mutex_);
  return spans_.size();
}

std::uint64_t Timeline::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

std::string Timeline::trace_events() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::uint32_t> order(tracks_.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(),
            [this](std::uint32_t a, std::uint32_t b) { return tracks_[a] < tracks_[b]; });
  std::vector<std::size_t> place(tracks_.size());
  std::string out = fmt::format(
      "{{\"displayTimeUnit\":\"ms\",\"otherData\":{{\"mneme_timeline\":1,\"spans_dropped\":{}}},"
      "\"traceEvents\":[{{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":1,\"args\":{{\"name\":"
      "\"mneme\"}}}}",
      dropped_);
  for (std::size_t i = 0; i < order.size(); ++i) {
    place[order[i]] = i + 1;
    fmt::format_to(std::back_inserter(out),
                   ",\n{{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":{},\"args\":{{"
                   "\"name\":{}}}}}",
                   i + 1, quoted(tracks_[order[i]]));
  }
  for (const Span& span : spans_) {
    fmt::format_to(std::back_inserter(out),
                   ",\n{{\"name\":{},\"ph\":\"X\",\"pid\":1,\"tid\":{},\"ts\":{:.3f},\"dur\":"
                   "{:.3f}}}",
                   quoted(names_[span.name]), place[span.track], 1e-3 * double(span.begin_ns),
                   1e-3 * double(span.end_ns - span.begin_ns));
  }
  return out + "\n]}\n";
}

}  // namespace mneme::io
