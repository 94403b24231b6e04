#include "tools/plan/step_work.h"

#include <cmath>

namespace mneme::plan {
namespace {

// AdamW reads weight, gradient and both moments, and writes all but the gradient, which is cleared.
constexpr double kOptimizerFloats = 8;

double time_of(double amount, double per_second) {
  return per_second > 0 ? amount / per_second : 0;
}

}  // namespace

StepWork step_work(const engine::Config& config, const engine::ModelCosts& costs,
                   double distinct_rows, double leased_rows) {
  const auto tokens = static_cast<double>(costs.tokens_per_step);
  const auto dense = [](const engine::TokenFlops& flops) {
    return static_cast<double>(flops.weights + flops.attention);
  };
  StepWork work;
  work.dense_flops = tokens * (dense(costs.forward) + dense(costs.backward));
  work.optimizer_bytes =
      kOptimizerFloats * sizeof(float) * static_cast<double>(costs.parameters.total());
  work.micro_batches = static_cast<double>(config.train.micro_batches);
  if (!config.has_memory()) return work;
  work.key_flops = tokens * static_cast<double>(costs.forward.keys + costs.backward.keys);
  const auto layers = static_cast<double>(config.table_blocks().size());
  work.half_scores = tokens * layers * static_cast<double>(config.memory.heads) * 2 *
                     static_cast<double>(config.memory.half_keys);
  work.lookups = tokens * static_cast<double>(costs.table.lookups_per_token);
  work.gathered_bytes = tokens * static_cast<double>(costs.table.gather_bytes_per_token);
  work.updated_bytes = distinct_rows * static_cast<double>(costs.table.record_bytes);
  work.planned_rows = leased_rows;
  return work;
}

double dense_flops_per_s(const Machine& machine, std::int64_t width) {
  const auto& [widths, gflops] = std::tie(machine.compute.widths, machine.compute.gflops);
  if (widths.empty()) return 0;
  if (width <= widths.front()) return 1e9 * static_cast<double>(gflops.front());
  for (std::size_t i = 1; i < widths.size(); ++i) {
    if (width > widths[i]) continue;
    const auto place = [](std::int64_t w) { return std::log(static_cast<double>(w)); };
    const double share =
        (place(width) - place(widths[i - 1])) / (place(widths[i]) - place(widths[i - 1]));
    const auto before = static_cast<double>(gflops[i - 1]), after = static_cast<double>(gflops[i]);
    return 1e9 * (before + share * (after - before));
  }
  return 1e9 * static_cast<double>(gflops.back());
}

StepTimes step_times(const StepWork& work, const Machine& machine, std::int64_t width) {
  const Machine::Compute& compute = machine.compute;
  const double dense = dense_flops_per_s(machine, width);
  const double keys = compute.key_gflops > 0 ? 1e9 * double(compute.key_gflops) : dense;
  return {.fixed = 1e-3 * work.micro_batches * compute.micro_batch_ms,
          .dense = time_of(work.dense_flops, dense),
          .optimizer = time_of(work.optimizer_bytes, compute.optimizer),
          .search = time_of(work.key_flops, keys) + 1e-9 * work.half_scores * compute.half_score_ns,
          .rows = 1e-9 * work.lookups * compute.lookup_ns +
                  time_of(work.gathered_bytes, compute.gather),
          .update = time_of(work.updated_bytes, compute.update),
          .plan = 1e-9 * work.planned_rows * compute.planned_row_ns};
}

bool knows_compute(const Machine& machine, const engine::Config& config) {
  const Machine::Compute& compute = machine.compute;
  if (compute.widths.empty()) return false;
  return !config.has_memory() || compute.lookup_ns > 0 || compute.gather > 0;
}

}  // namespace mneme::plan
