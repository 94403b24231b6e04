// Which cells are worth their memory and their bytes.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tools/ablate/ablation.h"

namespace mneme::ablate {

enum class Cost {
  kDeviceBytes,  // of the value table, in the device tier
  kBytesMoved,   // over the links, a token: page-in and write-back
};

struct CellPoint {
  std::size_t cell = 0;
  double cost = 0;
  double tokens_per_s = 0;  // median of its runs
  bool is_on_front = false;
};

// Cells with a done run, by cost, faster ones first. On the Pareto front are those that no other
// cell beats at as small a cost.
std::vector<CellPoint> points_of(const Ablation& ablation, Cost cost);

// "tiers.device_bytes 4%, ..." with the shortest names that tell the keys apart.
std::string cell_name(const Grid& grid, const Cell& cell);

// The fastest cell, the one that needs the least device memory for nearly as much, and what the
// loss says of them; a sentence each. Empty before any run is done.
std::vector<std::string> best_in_words(const Ablation& ablation);

}  // namespace mneme::ablate
