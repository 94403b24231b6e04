// The configurations of runs that the project has.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

namespace mneme::engine::testing {

// Relative to the folder of configurations, in order. Grids (tests/tools/ablate_grid_test.cpp) and
// machines (tests/tools/plan_test.cpp) are no runs.
inline std::vector<std::string> run_configs() {
  const std::filesystem::path root = std::filesystem::path(MNEME_SOURCE_DIR) / "configs";
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    const std::string folder = entry.path().parent_path().filename().string();
    if (entry.path().extension() != ".toml" || folder == "ablations" || folder == "machines") {
      continue;
    }
    names.push_back(std::filesystem::relative(entry.path(), root).string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace mneme::engine::testing
