#include "engine/config.h"

#include <cmath>
#include <utility>

#include "engine/config_file.h"
#include "engine/config_keys.h"
#include "engine/config_reader.h"
#include "engine/former_keys.h"
#include "engine/row_gradient_choice.h"

namespace mneme::engine {

namespace {

Config parse_over(Config config, std::string_view text, const std::string& name,
                  std::span<const std::string> overrides) {
  FormerKeys former;
  std::vector<Key> keys = config_keys(config);
  for (Key& key : former_keys(former)) keys.push_back(std::move(key));
  const KeyPlaces places = read_keys(keys, text, name, overrides);
  apply_former_keys(former, places, config);
  // With budgets that are not known yet, choose_tiers() does.
  if (!config.tiers.automatic.any()) choose_row_gradient(config);
  apply_tier_shares(config);
  check_relations(config, places);
  return config;
}

}  // namespace

Config parse_config(std::string_view text, const std::string& name,
                    std::span<const std::string> overrides) {
  return parse_over({}, text, name, overrides);
}

Config parse_recorded_config(std::string_view text, const std::string& name,
                             std::span<const std::string> overrides) {
  Config before;
  before.data.validation_split = ValidationSplit::kTail;
  before.memory.row_gradient = RowGradientKind::kFactored;
  return parse_over(std::move(before), text, name, overrides);
}

Config load_config(const std::string& path, std::span<const std::string> overrides) {
  return parse_config(read_config_file(path), path, overrides);
}

void apply_tier_shares(Config& config) {
  if (!config.has_memory()) return;
  const std::uint64_t record_bytes = row_layout(config).record_bytes();
  const auto apply = [&](const std::optional<double>& percent, std::uint64_t& bytes) {
    if (!percent) return;
    const double rows = std::round(static_cast<double>(config.table_rows()) * *percent / 100);
    bytes = static_cast<std::uint64_t>(rows) * record_bytes;
  };
  offload::TierOptions& store = config.tiers.store;
  apply(config.tiers.shares.device_percent, store.device_bytes);
  apply(config.tiers.shares.host_percent, store.host_bytes);
  apply(config.tiers.shares.disk_percent, store.disk_bytes);
}

void check_config(const Config& config) {
  // Written out and read back, every single value passes its own check as well.
  parse_config(to_toml(config), "configuration");
}

}  // namespace mneme::engine
