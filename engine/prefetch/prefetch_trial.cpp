#include "engine/prefetch/prefetch_trial.h"

#include <algorithm>
#include <utility>

namespace mneme::engine {
namespace {

// A trial costs a few percent of some steps: less than this share of them cannot be won back.
constexpr double kLeastStall = 0.03;
constexpr std::size_t kStalls = 16;
// Of the time of steps without: what is slower is dropped after a turn; what is kept is faster.
constexpr double kClearlySlower = 1.03, kClearlyFaster = 0.98;

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

PrefetchTrial::PrefetchTrial(std::size_t candidates) : candidates_(candidates) {}

void PrefetchTrial::note(double step_ms, double stall_ms) {
  ++steps_;
  if (turn_) {
    if (turn_->steps++ >= kWarmSteps) times_[turn_->candidate].push_back(step_ms);
    if (turn_->steps == kWarmSteps + kMeasuredSteps) end_turn();
    return;
  }
  if (stalls_.size() == kStalls) stalls_.erase(stalls_.begin());
  stalls_.push_back(step_ms > 0 ? stall_ms / step_ms : 0);
  if (steps_ < next_trial_ || !is_worth_a_trial()) return;
  begin_trial();
}

// With predictors on, what is left of the stalls says nothing of what they save.
bool PrefetchTrial::is_worth_a_trial() const {
  return candidates_ > 1 && (kept_ != 0 || median(stalls_) >= kLeastStall);
}

void PrefetchTrial::begin_trial() {
  times_.assign(candidates_, {});
  coming_.clear();
  for (int turn = 0; turn < kTurns; ++turn) {
    for (std::size_t i = 0; i < candidates_; ++i) coming_.push_back({.candidate = i});
  }
  std::reverse(coming_.begin(), coming_.end());
  turn_ = coming_.back();
  coming_.pop_back();
}

void PrefetchTrial::end_turn() {
  const std::size_t ended = turn_->candidate;
  const bool loses = ended != 0 && median(times_[ended]) > kClearlySlower * median(times_.front());
  if (loses) std::erase_if(coming_, [ended](const Turn& turn) { return turn.candidate == ended; });
  const bool any = std::any_of(coming_.begin(), coming_.end(),
                               [](const Turn& turn) { return turn.candidate != 0; });
  if (!any) {
    decide();
  } else {
    turn_ = coming_.back();
    coming_.pop_back();
  }
}

void PrefetchTrial::decide() {
  const double without = median(times_.front());
  PrefetchDecision best{.candidate = 0, .ms = without, .ms_without = without};
  for (std::size_t i = 1; i < candidates_; ++i) {
    if (times_[i].empty()) continue;
    const double ms = median(times_[i]);
    if (ms < kClearlyFaster * without && ms < best.ms) best = {i, ms, without};
  }
  kept_ = best.candidate;
  decision_ = best;
  turn_.reset();
  stalls_.clear();
  next_trial_ = steps_ * kLonger;
}

std::optional<PrefetchDecision> PrefetchTrial::take_decision() {
  return std::exchange(decision_, {});
}

}  // namespace mneme::engine
