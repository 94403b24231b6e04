#include "memory/row_optimizer.h"

#include <cmath>

#include "io/enum_names.h"
#include "io/error.h"
#include "kernels/catch_up_table.h"

namespace mneme::memory {
bool has_moments(kernels::RowOptimizerKind kind) {
  return kind == kernels::RowOptimizerKind::kAdamW || kind == kernels::RowOptimizerKind::kAdamWLazy;
}

kernels::RecordLayout record_layout(kernels::RowOptimizerKind kind, std::int64_t width,
                                    kernels::FloatType value_type, kernels::FloatType moment_type,
                                    bool gradient, int parts) {
  return record_layout(kind, kernels::ColumnRange::all(static_cast<std::uint32_t>(width)),
                       value_type, moment_type, gradient, parts);
}

kernels::RecordLayout record_layout(kernels::RowOptimizerKind kind,
                                    const kernels::ColumnRange& columns,
                                    kernels::FloatType value_type, kernels::FloatType moment_type,
                                    bool gradient, int parts) {
  kernels::RecordLayout layout;
  layout.part_count = parts;
  for (int i = 0; i < parts; ++i) {
    layout.parts[i] = {.columns = columns,
                       .value_type = value_type,
                       .moment_type = moment_type,
                       .moments = has_moments(kind),
                       .sum = kind == kernels::RowOptimizerKind::kAdagradRowwise,
                       .gradient = gradient};
  }
  return layout;
}

std::optional<OptionProblem> find_problem(const RowOptimizerOptions& options) {
  const auto refused = [](const char* field, double value, const char* range) {
    return OptionProblem{field, fmt::format("is {}; it must be {}", value, range)};
  };
  if (has_moments(options.kind)) {
    if (!(options.beta1 >= 0 && options.beta1 < 1)) {
      return refused("beta1", options.beta1, "at least 0 and below 1");
    }
    if (!(options.beta2 >= 0 && options.beta2 < 1)) {
      return refused("beta2", options.beta2, "at least 0 and below 1");
    }
  }
  if (options.kind != kernels::RowOptimizerKind::kSgd && !(options.epsilon > 0)) {
    return refused("epsilon", options.epsilon, "above 0");
  }
  if (!(options.weight_decay >= 0)) {
    return refused("weight_decay", options.weight_decay, "at least 0");
  }
  if (!(options.clip_norm >= 0)) return refused("clip_norm", options.clip_norm, "at least 0");
  // Rows are caught up for the steps that they missed: a sum of terms that go by
  // beta1 / sqrt(beta2) a step. They have to fall, and soon enough.
  if (options.kind != kernels::RowOptimizerKind::kAdamW) return std::nullopt;
  if (options.beta1 > 0 && !(options.beta1 < std::sqrt(options.beta2))) {
    return OptionProblem{
        "beta1", fmt::format("is {}; with adamw it must be below the square root of beta2, {:.6g}",
                             options.beta1, std::sqrt(options.beta2))};
  }
  if (!kernels::CatchUpTable::window_for({.beta1 = options.beta1,
                                          .beta2 = options.beta2,
                                          .epsilon = options.epsilon,
                                          .weight_decay = options.weight_decay,
                                          .learning_rate = {}})) {
    return OptionProblem{
        "beta1",
        fmt::format("is {}, so that momentum would matter for more than {} missed steps; with "
                    "adamw it must be further below the square root of beta2, {:.6g}",
                    options.beta1, kernels::CatchUpTable::kMaxWindow, std::sqrt(options.beta2))};
  }
  return std::nullopt;
}

void check_options(const RowOptimizerOptions& options) {
  if (!options.learning_rate) {
    io::fail("row optimizer {}: there is no learning rate schedule", io::name_of(options.kind));
  }
  if (const auto problem = find_problem(options)) {
    io::fail("row optimizer {}: {} {}", io::name_of(options.kind), problem->field, problem->text);
  }
}

}  // namespace mneme::memory
