#include "engine/row_gradient_choice.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "memory/row_gradient.h"
#include "memory/row_optimizer.h"

namespace mneme::engine {

namespace {

// Or the largest number.
std::uint64_t product(std::uint64_t a, std::uint64_t b) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  return b != 0 && a > kMost / b ? kMost : a * b;
}

// Of a micro-batch, all layers.
std::uint64_t token_calls(const Config& config) {
  return product(static_cast<std::uint64_t>(config.tokens_per_micro_batch()),
                 config.table_blocks().size());
}

// As many as can be grouped at once.
std::int64_t most_micro_batches(const Config& config) {
  const std::uint64_t lookups = product(
      token_calls(config), static_cast<std::uint64_t>(config.memory.heads * config.memory.knn));
  return static_cast<std::int64_t>(memory::kMostLookups / std::max<std::uint64_t>(1, lookups));
}

// Whether all rows, with gradient arrays, find room in device and host memory. Rows that do not
// would be written to the disk for every group of micro-batches, not once a step.
bool fits_memory(const Config& config) {
  const kernels::RecordLayout layout = memory::record_layout(
      config.memory.optimizer.kind, config.value_width(), config.memory.value_type,
      config.memory.moment_type, true, config.row_parts());
  constexpr double kBookkeeping = 64;
  const double table = static_cast<double>(config.table_rows()) *
                       (static_cast<double>(layout.record_bytes()) + kBookkeeping);
  const auto share = [&](const std::optional<double>& percent, std::uint64_t bytes) {
    return percent ? *percent / 100 : static_cast<double>(bytes) / table;
  };
  const TiersConfig& tiers = config.tiers;
  return share(tiers.shares.device_percent, tiers.store.device_bytes) +
             share(tiers.shares.host_percent, tiers.store.host_bytes) >=
         1;
}

}  // namespace

std::uint64_t factored_gradient_bytes(const Config& config, std::int64_t micro_batches) {
  const std::uint64_t of_token = memory::StepGradient::bytes_per_token(
      config.memory.heads * config.memory.knn, config.value_width(), config.row_parts());
  return product(product(token_calls(config), of_token), static_cast<std::uint64_t>(micro_batches));
}

bool accumulates_row_gradient(const Config& config) {
  if (!config.has_memory()) return false;
  if (config.memory.row_gradient != RowGradientKind::kAuto) {
    return config.memory.row_gradient == RowGradientKind::kAccumulated;
  }
  const std::int64_t all = config.train.micro_batches;
  if (all == 1) return false;
  if (all > most_micro_batches(config)) return true;
  return factored_gradient_bytes(config, all) > config.train.row_gradient_bytes &&
         fits_memory(config);
}

std::int64_t kept_micro_batches(const Config& config) {
  const std::int64_t all = config.train.micro_batches;
  if (!accumulates_row_gradient(config)) return all;
  const std::uint64_t bytes = std::max<std::uint64_t>(1, factored_gradient_bytes(config, 1));
  const auto fit = static_cast<std::int64_t>(config.train.row_gradient_bytes / bytes);
  return std::clamp<std::int64_t>(std::min(fit, most_micro_batches(config)), 1, all);
}

void choose_row_gradient(Config& config) {
  config.memory.row_gradient =
      accumulates_row_gradient(config) ? RowGradientKind::kAccumulated : RowGradientKind::kFactored;
}

kernels::RecordLayout row_layout(const Config& config) {
  return memory::record_layout(config.memory.optimizer.kind, config.value_width(),
                               config.memory.value_type, config.memory.moment_type,
                               accumulates_row_gradient(config), config.row_parts());
}

}  // namespace mneme::engine
