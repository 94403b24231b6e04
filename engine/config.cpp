#include "engine/config.h"

#include "engine/config_file.h"
#include "engine/config_keys.h"
#include "engine/config_reader.h"

namespace mneme::engine {

Config parse_config(std::string_view text, const std::string& name,
                    std::span<const std::string> overrides) {
  Config config;
  const KeyPlaces places = read_keys(config_keys(config), text, name, overrides);
  check_relations(config, places);
  return config;
}

Config load_config(const std::string& path, std::span<const std::string> overrides) {
  return parse_config(read_config_file(path), path, overrides);
}

void check_config(const Config& config) {
  // Written out and read back, every single value passes its own check as well.
  parse_config(to_toml(config), "configuration");
}

}  // namespace mneme::engine
