// The golden files of one kind: found by their prefix, in MNEME_GOLDEN_DIR or the project's own.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/disk.h"
#include "io/safetensors.h"

namespace mneme::test {

inline std::string golden_directory() {
  const char* directory = std::getenv("MNEME_GOLDEN_DIR");
  return directory != nullptr ? directory : MNEME_GOLDEN_DIR_DEFAULT;
}

// Paths of <prefix>*.safetensors, sorted.
inline std::vector<std::string> golden_files(const std::string& prefix) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(golden_directory())) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(prefix, 0) == 0 && entry.path().extension() == ".safetensors") {
      paths.push_back(entry.path().string());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// A file's name as a test's name.
inline std::string golden_test_name(const std::string& path) {
  std::string name = std::filesystem::path(path).stem().string();
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

struct GoldenFile {
  explicit GoldenFile(const std::string& path)
      : disk(io::make_posix_disk()),
        reader(*disk, path),
        config(nlohmann::json::parse(reader.metadata().at("config"))) {}

  std::unique_ptr<io::Disk> disk;
  io::SafetensorsReader reader;
  nlohmann::json config;
};

}  // namespace mneme::test
