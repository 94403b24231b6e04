#include "tests/cuda_emulator/src/work_order.h"

#include <algorithm>

#include "tests/cuda_emulator/src/seed.h"

namespace emulator {
namespace {

// How often a strategy is kept: once more in so many times, another one is drawn.
constexpr std::uint64_t kWaitsPerStrategy = 3;

// The stream that is to run for `point` to be reached. It ends: an operation waits only for what
// was queued before it.
std::uint64_t needed_for(const StreamMap& streams, Point point) {
  for (;;) {
    const Point* before = missing(streams, streams.at(point.stream));
    if (before == nullptr) return point.stream;
    point = *before;
  }
}

}  // namespace

std::uint64_t WorkOrder::random(std::uint64_t limit) {
  return mix(state_ += kSeedStep) % limit;
}

std::uint64_t WorkOrder::rank(std::uint64_t stream) const {
  return mix(salt_ + stream);
}

void WorkOrder::draw_strategy() {
  strategy_ = static_cast<Strategy>(random(4));
  salt_ = mix(state_ += kSeedStep);
}

void WorkOrder::next_wait() {
  if (random(kWaitsPerStrategy) == 0) draw_strategy();
}

std::uint64_t WorkOrder::choose(const StreamMap& streams, const std::vector<Point>& goals) {
  const auto goal = std::find_if(goals.begin(), goals.end(),
                                 [&](Point point) { return !is_reached(streams, point); });
  if (goal != goals.end() && strategy_ == Strategy::kNeeded) return needed_for(streams, *goal);

  choice_.clear();
  for (const auto& [number, stream] : streams) {
    if (stream.waiting.empty() || missing(streams, stream) != nullptr) continue;
    const bool is_goal = std::any_of(goals.begin(), goals.end(),
                                     [&](Point point) { return point.stream == number; });
    if (strategy_ != Strategy::kOthersFirst || !is_goal) choice_.push_back(number);
  }
  if (choice_.empty()) return needed_for(streams, *goal);
  if (strategy_ == Strategy::kRanked) {
    const auto before = [&](std::uint64_t a, std::uint64_t b) { return rank(a) < rank(b); };
    return *std::min_element(choice_.begin(), choice_.end(), before);
  }
  return choice_[random(choice_.size())];
}

}  // namespace emulator
