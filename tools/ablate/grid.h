// What `mneme ablate` runs: a base configuration, and the keys that are varied over it. A grid is
// one TOML file:
//
//   config = "../quickstart.toml"        # of every cell; relative to this file
//   directory = "runs/ablations/tiers"   # where the cells run, and the results are
//   repeats = 3                          # runs of each cell, in turns with the other cells
//   time_limit_s = 120                   # of one run
//   table = ["reads.disk"]               # columns of the table, besides the usual ones
//
//   [set]                                # keys of every cell
//   train.steps = 200
//
//   [axes]                               # every combination of their values is a cell
//   tiers.device_bytes = ["2%", "5%", "10%"]
//   tiers.device_policy = ["lru", "lfu"]
//
//   [[zip]]                              # keys that change together: one axis more
//   tiers.host_bytes = ["4MiB", "16MiB"]
//   tiers.disk_bytes = ["1GiB", "2GiB"]
//
//   [[skip]]                             # cells with all of these are left out; a list: any of it
//   tiers.device_bytes = ["2%", "5%"]
//   tiers.device_policy = "lru"
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mneme::ablate {

inline constexpr std::size_t kMostCells = 10'000;

// A key of the configuration and its value, in TOML.
struct Setting {
  std::string key, value;
  bool operator==(const Setting&) const = default;
};

struct Cell {
  std::vector<Setting> settings;  // of the axes, in their order
  std::vector<std::size_t> at;    // of each axis: which of its values
};

// Values of one key, or of several that change together.
struct Axis {
  std::vector<std::string> keys;
  std::vector<std::vector<std::string>> values;  // [keys][values of each], in TOML
  std::string place;                             // file and line

  std::size_t size() const { return values.front().size(); }
};

struct Grid {
  std::string config;               // path of the base configuration
  std::string directory;            // of the ablation
  std::int64_t repeats = 1;         //
  double time_limit_s = 600;        //
  std::vector<std::string> table;   // further columns
  std::vector<Setting> common;      // of every cell
  std::vector<Axis> axes;           //
  std::vector<std::string> varied;  // keys of the axes, in their order
  std::vector<Cell> cells;          // the last axis changes fastest
};

// Throws Error in one line: file and line, the key, what is wrong with it. Keys and values are
// checked one by one; whether they go together a cell's run finds out.
Grid read_grid(const std::string& path);
// The same from text; `name` stands for the file.
Grid parse_grid(std::string_view text, const std::string& name);

}  // namespace mneme::ablate
