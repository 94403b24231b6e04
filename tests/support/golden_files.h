// A golden file with the configuration that it was computed for.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "io/disk.h"
#include "io/safetensors.h"
#include "tests/support/golden_directory.h"

namespace mneme::test {

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
