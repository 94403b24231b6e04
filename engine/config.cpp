#include "engine/config.h"

#include <utility>

#include "engine/config_file.h"
#include "engine/config_keys.h"
#include "engine/config_reader.h"

namespace mneme::engine {

namespace {

Config parse_over(Config config, std::string_view text, const std::string& name,
                  std::span<const std::string> overrides) {
  const KeyPlaces places = read_keys(config_keys(config), text, name, overrides);
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
  return parse_over(std::move(before), text, name, overrides);
}

Config load_config(const std::string& path, std::span<const std::string> overrides) {
  return parse_config(read_config_file(path), path, overrides);
}

void check_config(const Config& config) {
  // Written out and read back, every single value passes its own check as well.
  parse_config(to_toml(config), "configuration");
}

}  // namespace mneme::engine
