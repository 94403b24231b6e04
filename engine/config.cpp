#include "engine/config.h"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "engine/config_keys.h"
#include "engine/config_reader.h"
#include "io/error.h"

namespace mneme::engine {

Config parse_config(std::string_view text, const std::string& name,
                    std::span<const std::string> overrides) {
  Config config;
  const KeyPlaces places = read_keys(config_keys(config), text, name, overrides);
  check_relations(config, places);
  return config;
}

Config load_config(const std::string& path, std::span<const std::string> overrides) {
  if (std::filesystem::is_directory(path)) {
    io::fail("{}: a folder, not a configuration; name a TOML file", path);
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    io::fail("{}: cannot open the configuration: {}", path, std::generic_category().message(errno));
  }
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) io::fail("{}: cannot read the configuration", path);
  return parse_config(text, path, overrides);
}

void check_config(const Config& config) {
  // Written out and read back, every single value passes its own check as well.
  parse_config(to_toml(config), "configuration");
}

}  // namespace mneme::engine
