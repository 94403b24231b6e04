// A small table and random touches of it, for tests that compare two runs or a run and a formula.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "tests/memory/table_run.h"

namespace mneme::test {

inline constexpr std::uint64_t kRows = 96;
inline constexpr std::int64_t kWidth = 12;
inline constexpr std::size_t kMostRows = 24;

// One step's rows, which may repeat, and their gradients [rows.size(), kWidth].
struct Touch {
  std::vector<kernels::RowId> rows;
  std::vector<double> gradients;
};

inline std::vector<Touch> touches(std::uint64_t steps, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<kernels::RowId> row(0, kRows - 1);
  std::uniform_int_distribution<std::size_t> count(1, kMostRows);
  std::vector<Touch> out(steps);
  for (Touch& touch : out) {
    touch.rows.resize(count(random));
    for (kernels::RowId& r : touch.rows) r = row(random);
    touch.gradients =
        random_tensor(random, static_cast<std::int64_t>(touch.rows.size()) * kWidth, 0.3);
  }
  return out;
}

inline memory::ValueTableOptions options_for(kernels::RowOptimizerKind kind) {
  memory::ValueTableOptions options = table_options(kRows, kWidth);
  options.optimizer.kind = kind;
  options.optimizer.learning_rate = [](std::uint64_t step) {
    return 1e-2 / std::sqrt(static_cast<double>(step));
  };
  return options;
}

}  // namespace mneme::test
