#include "tools/mneme/run_directory.h"

#include <filesystem>

#include "io/error.h"

namespace mneme::tools {

engine::Config read_run_config(const std::string& directory,
                               std::span<const std::string> overrides) {
  const std::string path = directory + "/config.toml";
  if (!std::filesystem::exists(path)) {
    io::fail("{} is no run directory: it has no config.toml; `mneme train CONFIG` makes one",
             directory);
  }
  engine::Config config = engine::load_config(path, overrides);
  config.run.directory = directory;
  return config;
}

}  // namespace mneme::tools
