#include "memory/row_optimizer.h"

#include <cmath>

#include "io/enum_names.h"
#include "io/error.h"

namespace mneme::memory {
bool has_moments(kernels::RowOptimizerKind kind) {
  return kind == kernels::RowOptimizerKind::kAdamW || kind == kernels::RowOptimizerKind::kAdamWLazy;
}

kernels::RecordLayout record_layout(kernels::RowOptimizerKind kind, std::int64_t width,
                                    kernels::FloatType value_type, kernels::FloatType moment_type) {
  return {.width = static_cast<std::uint32_t>(width),
          .value_type = value_type,
          .moment_type = moment_type,
          .moments = has_moments(kind),
          .row_state = kind == kernels::RowOptimizerKind::kAdagradRowwise};
}

void check_options(const RowOptimizerOptions& options) {
  const auto refuse = [&](const char* field, double value, const char* range) {
    io::fail("row optimizer {}: {} is {}; it must be {}", io::name_of(options.kind), field, value,
             range);
  };
  if (!options.learning_rate) {
    io::fail("row optimizer {}: there is no learning rate schedule", io::name_of(options.kind));
  }
  if (!(options.beta2 > 0 && options.beta2 < 1)) refuse("beta2", options.beta2, "in (0, 1)");
  // The terms of the catch-up sum go by beta1 / sqrt(beta2) a step; they have to fall.
  if (!(options.beta1 >= 0 && options.beta1 < std::sqrt(options.beta2))) {
    refuse("beta1", options.beta1, "at least 0 and below sqrt(beta2)");
  }
  if (!(options.epsilon > 0)) refuse("epsilon", options.epsilon, "above 0");
  if (!(options.weight_decay >= 0)) refuse("weight_decay", options.weight_decay, "at least 0");
  if (!(options.clip_norm >= 0)) refuse("clip_norm", options.clip_norm, "at least 0");
}

}  // namespace mneme::memory
