// A golden file with the configuration that it was computed for.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

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

// The rows of a file's value table, [rows, parts, width]: the tensor prefix + "values", or of PEER
// "values_u" and "values_v" row by row.
inline std::vector<double> golden_rows(const io::SafetensorsReader& reader,
                                       const std::string& prefix) {
  const auto& tensors = reader.tensors();
  const auto is_whole = [&](const io::TensorInfo& info) { return info.name == prefix + "values"; };
  if (std::any_of(tensors.begin(), tensors.end(), is_whole)) {
    return reader.read_f64(prefix + "values");
  }
  const std::vector<double> u = reader.read_f64(prefix + "values_u");
  const std::vector<double> v = reader.read_f64(prefix + "values_v");
  const std::int64_t width = reader.info(prefix + "values_u").shape.at(1);
  std::vector<double> rows;
  for (auto first = u.begin(), second = v.begin(); first != u.end();
       first += width, second += width) {
    rows.insert(rows.end(), first, first + width);
    rows.insert(rows.end(), second, second + width);
  }
  return rows;
}

}  // namespace mneme::test
