// Of the rows that are predicted for a layer, those that are worth bringing ahead of their use; and
// what became of them.
//
// How likely a row is read goes by where it is, too: what a tier has kept is what is read often. So
// of missing rows, confidence is learned once more, by themselves.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/key_ops.h"
#include "kernels/location.h"
#include "memory/prediction/vote_ranking.h"

namespace mneme::memory {

// What became of rows that a predictor named, in the hints for the steps since.
struct HintScore {
  std::uint64_t present = 0;  // were on the device
  std::uint64_t hinted = 0;   // were not, and likely enough to be read
  std::uint64_t brought = 0;  // of these, rows that were brought, to either tier
  std::uint64_t used = 0;     // of these, rows that were read in the step that they were for
  std::uint64_t late = 0;     // of these, rows that a lease had to wait for

  void operator+=(const HintScore& other);
  bool operator==(const HintScore&) const = default;
};

// One for each bit of PredictedRow::named_by, and the last one for all together. A row that several
// predictors name counts for each of them.
inline constexpr std::size_t kNamers = 8;
using HintScores = std::array<HintScore, kNamers + 1>;

// Rows chosen for one layer and step, or micro-batch.
struct ChosenRows {
  // In the order in which they are to be hinted.
  std::vector<kernels::RowId> to_device;  // those that are there already, and likely, come last
  std::vector<kernels::RowId> to_host;

  // Rows that a hint has brought.
  void note_brought(std::span<const kernels::RowId> rows);
  void clear();

 private:
  friend class HintChoice;
  // That are not on the device: in the host tier, on disk; with how likely such rows are read.
  struct Absent {
    PredictedRows rows;
    std::vector<bool> hinted, brought;
    void clear();
  };
  std::array<Absent, 2> absent_;
  std::array<std::uint64_t, kNamers + 1> present_{};
};

class HintChoice {
 public:
  // Rows of at least `least` confidence are hinted.
  explicit HintChoice(float least) : least_(least) {}

  // places: of each predicted row.
  void choose(std::span<const PredictedRow> predicted, std::span<const kernels::Place> places,
              ChosenRows& chosen) const;
  // read: what the layer has read in that step, late: rows that leases waited for; both ascending.
  HintScores learn(const ChosenRows& chosen, std::span<const kernels::RowId> read,
                   std::span<const kernels::RowId> late);

 private:
  float least_;
  std::array<UnionCalibration, 2> calibrations_;  // of absent rows
};

}  // namespace mneme::memory
