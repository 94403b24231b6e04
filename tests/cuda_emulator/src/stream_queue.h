// What a stream has still to do.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <vector>

#include <emulator/runtime_types.h>

namespace emulator {

// A point in a stream's order: reached when so many of the stream's operations have run. Streams
// have numbers that are not given again, so the points of a stream that is gone are all reached.
struct Point {
  std::uint64_t stream = 0;
  std::uint64_t position = 0;

  bool operator==(const Point&) const = default;
};

struct Operation {
  std::function<void()> run;    // empty when it only waits or records
  std::vector<Point> after;     // all reached before it may run
  cudaEvent_t event = nullptr;  // takes the time when it has run, if this is its last record
};

}  // namespace emulator

struct CUstream_st {
  bool blocking;     // ordered with the default stream, as CUDA orders them
  bool open = true;  // not destroyed
  std::deque<emulator::Operation> waiting{};
  std::uint64_t queued = 0;  // ever
  std::uint64_t done = 0;
};

namespace emulator {

// By number, so in the order in which they were made.
using StreamMap = std::map<std::uint64_t, CUstream_st>;

inline bool is_reached(const StreamMap& streams, Point point) {
  const auto stream = streams.find(point.stream);
  return stream == streams.end() || stream->second.done >= point.position;
}

// What the stream's first operation waits for; null if it may run.
inline const Point* missing(const StreamMap& streams, const CUstream_st& stream) {
  for (const Point& point : stream.waiting.front().after) {
    if (!is_reached(streams, point)) return &point;
  }
  return nullptr;
}

}  // namespace emulator
