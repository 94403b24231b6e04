// What `auto` decides by: which predictors pay, from the times of the steps with and without them.
// It sees numbers alone.
//
// Candidate 0 is to predict nothing. While rows that are missing do not hold training up, nothing
// is tried. Else each candidate has a few steps in turn, nothing between them, so that a machine
// that changes its speed does so for all; those that lose clearly are dropped after one turn. The
// fastest is kept where it is faster than nothing by more than the noise, and is measured again
// later, at ever longer distances: what pays changes as a model learns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace mneme::engine {

struct PrefetchDecision {
  std::size_t candidate = 0;
  double ms = 0, ms_without = 0;  // medians of a step's time, with it and with nothing
};

class PrefetchTrial {
 public:
  // Steps of a turn: the first ones are not measured, since what they need was not predicted by
  // their own predictors, which have to learn, too.
  static constexpr int kWarmSteps = 3, kMeasuredSteps = 4;
  static constexpr int kTurns = 2;
  static constexpr std::uint64_t kFirstTrial = 64;  // steps of the process before the first
  static constexpr std::uint64_t kLonger = 16;      // each next one comes after so many times more

  explicit PrefetchTrial(std::size_t candidates);

  // The candidate that the next step runs with.
  std::size_t current() const { return turn_ ? turn_->candidate : kept_; }
  // A step has run with current(): what it took, and what of that it waited for rows.
  void note(double step_ms, double stall_ms);
  // What was decided since the last call.
  std::optional<PrefetchDecision> take_decision();

 private:
  struct Turn {
    std::size_t candidate = 0;
    int steps = 0;  // so far
  };
  bool is_worth_a_trial() const;
  void begin_trial();
  void end_turn();
  void decide();

  std::size_t candidates_;
  std::size_t kept_ = 0;
  std::uint64_t steps_ = 0, next_trial_ = kFirstTrial;
  std::vector<double> stalls_;  // shares of the last steps' times
  std::optional<Turn> turn_;
  std::vector<Turn> coming_;                // in reverse
  std::vector<std::vector<double>> times_;  // of each candidate, in the trial under way
  std::optional<PrefetchDecision> decision_;
};

}  // namespace mneme::engine
