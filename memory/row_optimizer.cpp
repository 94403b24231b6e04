#include "memory/row_optimizer.h"

#include <cmath>

#include "io/error.h"

namespace mneme::memory {
namespace {

struct NamedKind {
  const char* name;
  kernels::RowOptimizerKind kind;
};
constexpr NamedKind kKinds[] = {
    {"adamw", kernels::RowOptimizerKind::kAdamW},
    {"adamw-lazy", kernels::RowOptimizerKind::kAdamWLazy},
    {"adagrad-rowwise", kernels::RowOptimizerKind::kAdagradRowwise},
    {"sgd", kernels::RowOptimizerKind::kSgd},
};

}  // namespace

kernels::RowOptimizerKind row_optimizer_from_name(const std::string& name) {
  std::string known;
  for (const NamedKind& entry : kKinds) {
    if (name == entry.name) return entry.kind;
    known += known.empty() ? entry.name : std::string(", ") + entry.name;
  }
  io::fail("row optimizer: \"{}\" is not known; use one of {}", name, known);
}

std::string row_optimizer_name(kernels::RowOptimizerKind kind) {
  for (const NamedKind& entry : kKinds) {
    if (kind == entry.kind) return entry.name;
  }
  io::fail("row optimizer: kind {} has no name", static_cast<int>(kind));
}

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
    io::fail("row optimizer {}: {} is {}; it must be {}", row_optimizer_name(options.kind), field,
             value, range);
  };
  if (!options.learning_rate) {
    io::fail("row optimizer {}: there is no learning rate schedule",
             row_optimizer_name(options.kind));
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
