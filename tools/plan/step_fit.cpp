#include "tools/plan/step_fit.h"

#include <algorithm>

#include "io/check.h"

namespace mneme::plan {

void StepFit::add(const StepWork& work, std::int64_t width, double seconds) {
  StepWork dense;
  dense.dense_flops = work.dense_flops;
  dense.key_flops = work.key_flops;
  dense.micro_batches = work.micro_batches;
  dense.optimizer_bytes = work.optimizer_bytes;
  Machine machine = machine_;
  targets_.push_back((seconds - step_times(dense, machine, width).total()) / seconds);
  rows_.push_back({work.half_scores / seconds, work.lookups / seconds,
                   work.gathered_bytes / seconds, work.updated_bytes / seconds});
}

// Least squares by coordinates, each held at 0 or above: four unknowns need no more.
void StepFit::solve(Machine& machine) const {
  CHECK(rows_.size() >= kSpeeds);
  Row costs = {};  // seconds of a unit
  for (int round = 0; round < 20000; ++round) {
    for (std::size_t k = 0; k < kSpeeds; ++k) {
      double along = 0, square = 0;
      for (std::size_t i = 0; i < rows_.size(); ++i) {
        double left = targets_[i];
        for (std::size_t j = 0; j < kSpeeds; ++j) left -= j == k ? 0 : rows_[i][j] * costs[j];
        along += left * rows_[i][k];
        square += rows_[i][k] * rows_[i][k];
      }
      costs[k] = square > 0 ? std::max(0.0, along / square) : 0;
    }
  }
  const auto rate = [](double cost) { return cost > 0 ? 1 / cost : 0; };
  machine.compute.half_score_ns = 1e9 * costs[0];
  machine.compute.lookup_ns = 1e9 * costs[1];
  machine.compute.gather = rate(costs[2]);
  machine.compute.update = rate(costs[3]);
}

}  // namespace mneme::plan
