// What `auto` decides by: which predictors pay, from the times of the steps with and without them.
// It sees numbers alone.
//
// Candidate 0 is to predict nothing. While rows that are missing do not hold training up, nothing
// is tried. Else each candidate has a few steps in turn, between as many with nothing, and is
// judged by these: a machine that changes its speed does so for all. In three rounds of such turns,
// since single steps differ by more than what is to be found out; those that lose clearly are not
// in the next round. The fastest is kept where it is faster than nothing, and is measured again
// later, at ever longer distances: what pays changes as a model learns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace mneme::engine {

struct PrefetchDecision {
  std::size_t candidate = 0;
  double ratio = 1;       // of a step's time with it to one with nothing
  double ms_without = 0;  // of a step with nothing: a median
};

class PrefetchTrial {
 public:
  // Steps of a turn: the first ones are not measured, since what they need was not predicted by
  // their own predictors, which have to learn, too.
  static constexpr int kWarmSteps = 3, kMeasuredSteps = 4;
  static constexpr int kTurnSteps = kWarmSteps + kMeasuredSteps;
  static constexpr int kRounds = 3;
  static constexpr std::uint64_t kFirstTrial = 64;  // steps of the process before the first
  static constexpr std::uint64_t kLonger = 8;       // each next one comes after so many times more

  explicit PrefetchTrial(std::size_t candidates);

  // The candidate that the next step runs with.
  std::size_t current() const { return is_trying_ ? round_[turn_] : kept_; }
  // A step has run with current(): what it took, and what of that it waited for rows.
  void note(double step_ms, double stall_ms);
  // What was decided since the last call.
  std::optional<PrefetchDecision> take_decision();

 private:
  bool is_worth_a_trial() const;
  void begin_round();
  void end_round();
  void decide();

  std::size_t candidates_;
  std::size_t kept_ = 0;
  std::uint64_t steps_ = 0, next_trial_ = kFirstTrial;
  std::vector<double> stalls_;  // shares of the last steps' times

  // ---- Of the trial under way.
  bool is_trying_ = false;
  int rounds_ = 0;                           // that are over
  std::vector<std::size_t> left_;            // candidates, without 0
  std::vector<std::size_t> round_;           // the turns of the round: 0, one, 0, another, ... 0
  std::size_t turn_ = 0;                     // of round_
  std::vector<double> times_;                // measured steps of the turn
  std::vector<double> medians_;              // of the turns that are over
  std::vector<double> without_;              // medians of all turns with nothing
  std::vector<std::vector<double>> ratios_;  // of each candidate, by round
  std::optional<PrefetchDecision> decision_;
};

}  // namespace mneme::engine
