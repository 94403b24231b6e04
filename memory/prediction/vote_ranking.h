// Votes become confidence: the rows that a predictor names, each with its votes, and how likely
// rows with so many votes were read in the steps before.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/key_ops.h"
#include "memory/prediction/calibration.h"

namespace mneme::memory {

struct PredictedRow {
  kernels::RowId row = 0;
  std::uint32_t votes = 0;
  std::uint16_t level = 0;  // in a union: of the confidence before it was calibrated
  float confidence = 0;     // that it is read, between 0 and 1
  // In a union: bit i for the i-th predictor, the last bit for all from the eighth on.
  std::uint8_t named_by = 0;
};

// Lists of predicted rows are ascending by row, each row once.
using PredictedRows = std::vector<PredictedRow>;

// Calls use(predicted row's index, whether it is among those read). read: ascending.
template <typename Use>
void for_each_outcome(std::span<const PredictedRow> predicted, std::span<const kernels::RowId> read,
                      const Use& use) {
  auto next = read.begin();
  for (std::size_t i = 0; i < predicted.size(); ++i) {
    while (next != read.end() && *next < predicted[i].row) ++next;
    use(i, next != read.end() && *next == predicted[i].row);
  }
}

class VoteRanking {
 public:
  // rows: ascending, each once. Votes for rows that were added before, since the last take(), sum
  // up.
  void add(std::span<const kernels::RowId> rows, std::span<const std::uint32_t> votes);
  // What was added.
  PredictedRows take();
  // Rows with their votes, apart from what is added.
  PredictedRows rank(std::span<const kernels::RowId> rows,
                     std::span<const std::uint32_t> votes) const;
  // What became of rows that were taken. read: ascending.
  void learn(std::span<const PredictedRow> predicted, std::span<const kernels::RowId> read);

 private:
  void set_confidence(PredictedRows& rows) const;

  Calibration calibration_;
  PredictedRows added_, merged_;
};

// The most confident first, of equal ones the lower row first. Confidences are told apart to one
// part in 4,096.
std::vector<std::uint32_t> order_by_confidence(std::span<const PredictedRow> predicted);

// Each row of any list once, with the confidence that would be right if predictors erred by
// themselves: a row is read unless all who name it are wrong.
PredictedRows union_of(std::span<const PredictedRows> lists);

// They do not err by themselves. How likely a row of a union is read goes by who names it and by
// the confidence that union_of() gives it, and is learned from the steps before.
class UnionCalibration {
 public:
  UnionCalibration() : cells_(kCells) {}
  void set_confidence(PredictedRows& rows) const;
  // predicted: as set_confidence() has left them; read: ascending.
  void learn(std::span<const PredictedRow> predicted, std::span<const kernels::RowId> read);

 private:
  static constexpr std::size_t kLevels = 16, kCells = 256 * kLevels;
  struct Cell {
    float predicted = 0, read = 0;
  };
  std::vector<Cell> cells_;  // by named_by and level
};

}  // namespace mneme::memory
