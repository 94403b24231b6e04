// What a process did when: spans of time on named tracks, for a viewer such as Perfetto.
//
// Whoever works says so wherever in the program that is, by the timeline that lives now. Without
// one, as at all times but in a profile, that costs a look at a pointer.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace mneme::io {

class Timeline {
 public:
  using Clock = std::chrono::steady_clock;

  // Spans beyond `most_spans` are dropped, and counted. At most one lives at a time, and whoever
  // works while it does must have ended when it goes.
  explicit Timeline(std::size_t most_spans);
  ~Timeline();
  Timeline(const Timeline&) = delete;
  Timeline& operator=(const Timeline&) = delete;

  // Null where there is none.
  static Timeline* current() { return current_.load(std::memory_order_acquire); }

  // From any thread. Spans of one track lie in each other or apart. One that began before the
  // timeline is left out.
  void add(std::string_view track, std::string_view name, Clock::time_point begin,
           Clock::time_point end);

  std::size_t spans() const;
  std::uint64_t dropped() const;
  // Trace Event Format, as JSON: a "thread" for each track, in the order of their names; the time
  // in microseconds since the timeline began.
  std::string trace_events() const;

 private:
  struct Span {
    std::uint32_t track = 0, name = 0;
    std::int64_t begin_ns = 0, end_ns = 0;
  };
  static std::uint32_t number_of(std::vector<std::string>& names, std::string_view name);

  static std::atomic<Timeline*> current_;
  const std::size_t most_spans_;
  const Clock::time_point began_ = Clock::now();
  mutable std::mutex mutex_;
  std::vector<std::string> tracks_, names_;
  std::vector<Span> spans_;
  std::uint64_t dropped_ = 0;
};

// A span of the host's, from here to the end of the block.
class TimelineSpan {
 public:
  // The texts must outlive it.
  TimelineSpan(std::string_view track, std::string_view name)
      : timeline_(Timeline::current()), track_(track), name_(name) {
    if (timeline_ != nullptr) begin_ = Timeline::Clock::now();
  }
  ~TimelineSpan() {
    if (timeline_ != nullptr) timeline_->add(track_, name_, begin_, Timeline::Clock::now());
  }
  TimelineSpan(const TimelineSpan&) = delete;
  TimelineSpan& operator=(const TimelineSpan&) = delete;

 private:
  Timeline* timeline_;
  std::string_view track_, name_;
  Timeline::Clock::time_point begin_{};
};

}  // namespace mneme::io
