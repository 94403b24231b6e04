#include "engine/prefetch/prefetch_trial.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace mneme::engine {
namespace {

// A trial costs a few percent of some steps: less than this share of them cannot be won back.
constexpr double kLeastStall = 0.03;
constexpr std::size_t kStalls = 16;
// Of the time of steps without: what is slower is dropped, after one round or more; what is kept is
// faster.
constexpr double kMuchSlower = 1.1, kSlower = 1.02, kFaster = 0.98;

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

PrefetchTrial::PrefetchTrial(std::size_t candidates) : candidates_(candidates) {}

void PrefetchTrial::note(double step_ms, double stall_ms) {
  ++steps_;
  if (is_trying_) {
    times_.push_back(step_ms);
    if (times_.size() < std::size_t{kTurnSteps}) return;
    times_.erase(times_.begin(), times_.begin() + kWarmSteps);
    medians_.push_back(median(times_));
    times_.clear();
    if (++turn_ == round_.size()) end_round();
    return;
  }
  if (stalls_.size() == kStalls) stalls_.erase(stalls_.begin());
  stalls_.push_back(step_ms > 0 ? stall_ms / step_ms : 0);
  if (steps_ < next_trial_ || !is_worth_a_trial()) return;
  is_trying_ = true;
  rounds_ = 0;
  left_.resize(candidates_ - 1);
  std::iota(left_.begin(), left_.end(), std::size_t{1});
  ratios_.assign(candidates_, {});
  without_.clear();
  begin_round();
}

// With predictors on, what is left of the stalls says nothing of what they save.
bool PrefetchTrial::is_worth_a_trial() const {
  return candidates_ > 1 && (kept_ != 0 || median(stalls_) >= kLeastStall);
}

void PrefetchTrial::begin_round() {
  round_ = {0};
  for (const std::size_t candidate : left_) round_.insert(round_.end(), {candidate, 0});
  turn_ = 0;
  medians_.clear();
}

void PrefetchTrial::end_round() {
  ++rounds_;
  for (std::size_t turn = 0; turn < round_.size(); turn += 2) without_.push_back(medians_[turn]);
  for (std::size_t turn = 1; turn < round_.size(); turn += 2) {
    const double beside = (medians_[turn - 1] + medians_[turn + 1]) / 2;
    ratios_[round_[turn]].push_back(medians_[turn] / beside);
  }
  std::erase_if(left_, [this](std::size_t candidate) {
    return mean(ratios_[candidate]) > (rounds_ == 1 ? kMuchSlower : kSlower);
  });
  if (left_.empty() || rounds_ == kRounds) {
    decide();
  } else {
    begin_round();
  }
}

void PrefetchTrial::decide() {
  PrefetchDecision best{.ms_without = median(without_)};
  for (const std::size_t candidate : left_) {
    const double ratio = mean(ratios_[candidate]);
    if (ratio < std::min(kFaster, best.ratio)) {
      best.candidate = candidate;
      best.ratio = ratio;
    }
  }
  kept_ = best.candidate;
  decision_ = best;
  is_trying_ = false;
  stalls_.clear();
  next_trial_ = steps_ * kLonger;
}

std::optional<PrefetchDecision> PrefetchTrial::take_decision() {
  return std::exchange(decision_, {});
}

}  // namespace mneme::engine
