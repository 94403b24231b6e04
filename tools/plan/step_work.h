// How long a machine computes on one training step, without waiting for rows.
#pragma once

#include "engine/config.h"
#include "engine/model_costs.h"
#include "tools/plan/machine.h"

namespace mneme::plan {

// What a step does, in the units of Machine::Compute.
struct StepWork {
  double dense_flops = 0;      // products with weights, attention
  double key_flops = 0;        // products with half-keys, which stay in float32
  double optimizer_bytes = 0;  // dense parameters: gradient, weight, moments; read and written
  double micro_batches = 0;
  double half_scores = 0;
  double lookups = 0;
  double gathered_bytes = 0;  // values of these, once
  double updated_bytes = 0;   // records of the distinct rows
  double planned_rows = 0;    // of all leases
};
// costs: of the configuration. distinct_rows: that a step updates; leased_rows: of all its leases.
// For a configuration without a table both are 0.
StepWork step_work(const engine::Config& config, const engine::ModelCosts& costs,
                   double distinct_rows, double leased_rows);

// Seconds.
struct StepTimes {
  double fixed = 0, dense = 0, optimizer = 0, search = 0, rows = 0, update = 0, plan = 0;
  double total() const { return fixed + dense + optimizer + search + rows + update + plan; }
};
// width: of the model. Parts whose speed the machine does not say take no time.
StepTimes step_times(const StepWork& work, const Machine& machine, std::int64_t width);

// Floating-point operations a second at a width: between measured widths by their logarithms,
// outside them as at the nearest. 0 where the machine says nothing.
double dense_flops_per_s(const Machine& machine, std::int64_t width);

// Whether the machine says enough for step_times() of this configuration.
bool knows_compute(const Machine& machine, const engine::Config& config);

}  // namespace mneme::plan
