#include "engine/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "io/check.h"

namespace mneme::engine {

double learning_rate(const ScheduleOptions& options, std::uint64_t step) {
  CHECK(step >= 1, "steps count from 1");
  if (step <= options.warmup_steps) {
    const double rate =
        options.peak * static_cast<double>(step) / static_cast<double>(options.warmup_steps);
    return std::min(options.peak, rate);  // rounding can take it one bit further
  }
  if (options.kind == ScheduleKind::kConstant) return options.peak;
  if (step >= options.steps) return options.peak * options.min_ratio;
  // warmup_steps < step < steps, so the divisor is positive.
  const double progress = static_cast<double>(step - options.warmup_steps) /
                          static_cast<double>(options.steps - options.warmup_steps);
  const double fall = options.kind == ScheduleKind::kLinear
                          ? progress
                          : 0.5 * (1 - std::cos(std::numbers::pi * progress));
  return options.peak * (1 - (1 - options.min_ratio) * fall);
}

ScheduleOptions schedule_options(const TrainConfig& train, double peak) {
  return {.kind = train.schedule,
          .peak = peak,
          .warmup_steps = static_cast<std::uint64_t>(train.warmup_steps),
          .steps = static_cast<std::uint64_t>(train.steps),
          .min_ratio = train.min_ratio};
}

memory::Schedule make_schedule(const TrainConfig& train, double peak) {
  const ScheduleOptions options = schedule_options(train, peak);
  return [options](std::uint64_t step) { return learning_rate(options, step); };
}

}  // namespace mneme::engine
