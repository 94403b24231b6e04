// Which stream's operation runs next.
//
// Every order that streams and events allow is one that a GPU may take. What a missing wait breaks
// are the orders that a GPU takes seldom, so these are chosen often: work that nobody waits for
// yet runs as late as possible, or before everything else, or any stream overtakes any other.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/cuda_emulator/src/stream_queue.h"

namespace emulator {

class WorkOrder {
 public:
  // A seed gives the same choices again.
  explicit WorkOrder(std::uint64_t seed) : state_(seed) { draw_strategy(); }

  // Before the host waits once more: another strategy, now and then.
  void next_wait();
  // The number of the stream whose first operation runs. The host waits for `goals`; with none,
  // for any progress. REQUIRES: a goal is not reached, or there are none and something waits.
  std::uint64_t choose(const StreamMap& streams, const std::vector<Point>& goals);
  // Below `limit`.
  std::uint64_t random(std::uint64_t limit);

 private:
  enum class Strategy {
    kNeeded,       // only what the goals need
    kOthersFirst,  // first what streams that are not a goal's can do
    kRandom,       // any
    kRanked,       // the best of those that can run, of an order of all streams
  };
  void draw_strategy();
  std::uint64_t rank(std::uint64_t stream) const;

  std::uint64_t state_;
  Strategy strategy_ = Strategy::kNeeded;
  std::uint64_t salt_ = 0;             // makes the ranks
  std::vector<std::uint64_t> choice_;  // kept for its memory
};

}  // namespace emulator
