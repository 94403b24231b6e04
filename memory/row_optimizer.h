// The options of row optimisers, and the per-step scalars that device operations need.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "kernels/row_ops.h"

namespace mneme::memory {

// Learning rate of step s >= 1: a pure function of the step, so that catch-up and resume agree.
using Schedule = std::function<double(std::uint64_t step)>;

struct RowOptimizerOptions {
  kernels::RowOptimizerKind kind = kernels::RowOptimizerKind::kAdamW;
  Schedule learning_rate;
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, weight_decay = 0.1;
  double clip_norm = 1.0;  // of the table's own gradient; 0 for none
};

bool has_moments(kernels::RowOptimizerKind kind);

// An option that an optimiser cannot work with.
struct OptionProblem {
  const char* field;  // of RowOptimizerOptions
  std::string text;   // what is wrong, and the range
};
// Looks at the options that the kind uses, not at the schedule.
std::optional<OptionProblem> find_problem(const RowOptimizerOptions& options);
// Throws Error for what find_problem finds, and for a missing schedule.
void check_options(const RowOptimizerOptions& options);
// What a row's record holds under an optimiser: `parts` parts, alike, each a range of its columns
// or all `width` of them. gradient: whether each has an array to add its gradient up in.
kernels::RecordLayout record_layout(kernels::RowOptimizerKind kind,
                                    const kernels::ColumnRange& columns,
                                    kernels::FloatType value_type, kernels::FloatType moment_type,
                                    bool gradient = false, int parts = 1);
kernels::RecordLayout record_layout(kernels::RowOptimizerKind kind, std::int64_t width,
                                    kernels::FloatType value_type, kernels::FloatType moment_type,
                                    bool gradient = false, int parts = 1);

}  // namespace mneme::memory
