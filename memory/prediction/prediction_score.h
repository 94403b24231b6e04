// How good predictions were: what was read, what had been predicted of it, and how the statically
// hottest rows would have done in their place.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/key_ops.h"
#include "memory/prediction/vote_ranking.h"

namespace mneme::memory {

// Predicted rows, the most confident ones, as multiples of the rows that were read.
inline constexpr std::array<double, 3> kScoredBudgets = {1.0, 1.5, 2.0};

// Sums over steps. Rows of one layer, each once a step.
struct PredictionScore {
  std::uint64_t steps = 0;
  std::uint64_t read = 0;       // rows that the layer read
  std::uint64_t predicted = 0;  // rows that were predicted
  std::uint64_t hits = 0;       // of them, rows that were read
  // The same with no more rows than kScoredBudgets times those that were read.
  std::array<std::uint64_t, kScoredBudgets.size()> hits_at{};
  // Of as many rows that had been read in the most steps before.
  std::array<double, kScoredBudgets.size()> hottest_at{};

  void operator+=(const PredictionScore& other);
  // Shares of what was read; 0 where nothing was.
  double recall() const { return share(static_cast<double>(hits)); }
  double recall_at(std::size_t budget) const { return share(static_cast<double>(hits_at[budget])); }
  double hottest_recall_at(std::size_t budget) const { return share(hottest_at[budget]); }

 private:
  double share(double rows) const { return read == 0 ? 0 : rows / static_cast<double>(read); }
};

// In how many steps each row was read. Takes 4 bytes a row of the table.
class HotRows {
 public:
  explicit HotRows(std::uint64_t table_rows) : steps_(table_rows) {}
  // rows: of one step, each once.
  void add(std::span<const kernels::RowId> rows);
  // How many of `rows` are among the `most` rows with the most steps so far; rows that tie at the
  // end count in their share.
  double hits(std::span<const kernels::RowId> rows, std::uint64_t most) const;

 private:
  std::vector<std::uint32_t> steps_;       // by row
  std::vector<std::uint64_t> with_ = {0};  // by number of steps from 1 on: rows
};

// read: ascending. hot: as before this step.
PredictionScore score_of(std::span<const PredictedRow> predicted,
                         std::span<const kernels::RowId> read, const HotRows& hot);

}  // namespace mneme::memory
