// The learning rate of each step: a linear warm-up, then a linear or cosine fall, or none. A pure
// function of the step, so that catch-up (SPEC.md) and resuming see the rates that training saw.
#pragma once

#include <cstdint>

#include "engine/config.h"
#include "memory/row_optimizer.h"

namespace mneme::engine {

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::kLinear;
  double peak = 0;                 // highest learning rate
  std::uint64_t warmup_steps = 0;  // w
  std::uint64_t steps = 1;         // T, of the whole run
  double min_ratio = 0;            // m, last learning rate over the peak
};

// With p = (t - w) / (T - w), at most 1, the rate of step t >= 1 is
//   t <= w:   peak * t / w
//   linear:   peak * (1 - (1 - m) * p)
//   cosine:   peak * (m + (1 - m) * (1 + cos(pi * p)) / 2)
//   constant: peak
// so that step w has the peak and step T and all later ones peak * m. The golden adamw_* files use
// the linear shape.
double learning_rate(const ScheduleOptions& options, std::uint64_t step);

// The schedule of [train] with a peak: the dense optimiser's or the value table's.
ScheduleOptions schedule_options(const TrainConfig& train, double peak);
memory::Schedule make_schedule(const TrainConfig& train, double peak);

}  // namespace mneme::engine
