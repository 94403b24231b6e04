// From the times of steps of several models to the speeds of their parts.
#pragma once

#include <array>
#include <vector>

#include "tools/plan/machine.h"
#include "tools/plan/step_work.h"

namespace mneme::plan {

// Finds Machine::Compute's half_score_ns, lookup_ns, gather and update: those that are not negative
// and miss the measured times least, each relative to its own.
class StepFit {
 public:
  // machine: with the speeds of the dense part.
  explicit StepFit(const Machine& machine) : machine_(machine) {}
  // seconds: of computation, without planning.
  void add(const StepWork& work, std::int64_t width, double seconds);
  // REQUIRES: at least as many steps as there are speeds.
  void solve(Machine& machine) const;

 private:
  static constexpr std::size_t kSpeeds = 4;
  using Row = std::array<double, kSpeeds>;

  Machine machine_;
  std::vector<Row> rows_;  // amounts of work, as shares of the time that was measured
  std::vector<double> targets_;
};

}  // namespace mneme::plan
