// What the metrics of a run say of its steps, added up: where the time went, where rows came from
// and how fast, what prefetch changed. Every number is one of the ledger's or of the run's clocks.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/metrics.h"

namespace mneme::report {

// A part of a step's time. The parts of a step are apart from each other and add up to it.
struct TimePart {
  std::string name;
  std::string meaning;
  double ms = 0;     // of a step, mean
  double share = 0;  // of the step
};

// Rows that forward passes of training read, of a step, by where they were; each once for each
// layer and micro-batch that reads it.
struct ReadsByTier {
  double device = 0, host = 0, disk = 0, untouched = 0;
  double all() const { return device + host + disk + untouched; }
};

// Rows that moved between two places.
struct MoveRate {
  std::string name;  // as moves.* of docs/metrics.md
  std::string meaning;
  double rows = 0, bytes = 0;   // of a step
  double bytes_per_s = 0;       // over the steps' time
  double busy_bytes_per_s = 0;  // while such moves were under way; 0 where that is not known
};

// What became of rows that hints have brought, of a step. Used rows may be those of earlier hints.
struct HintOutcome {
  double brought = 0, used = 0, late = 0, wasted = 0;
};

struct PredictorReport {
  engine::PredictionMetrics sums;  // over the steps
  std::string name;                // with the distance of lookahead
};

struct RunReport {
  std::uint64_t first_step = 0, last_step = 0, steps = 0;
  double step_ms = 0;       // mean
  double tokens_per_s = 0;  // of the steps' time
  double loss = 0;          // mean
  std::vector<TimePart> time;
  ReadsByTier reads;
  std::vector<MoveRate> moves;
  HintOutcome hints;
  offload::DiskLatencies disk_latencies;  // of all its transfers
  std::vector<PredictorReport> predictors;

  // Of a step, what it did not wait for rows; and what it waited for plans.
  double computing_ms() const;
  double planning_ms() const;
  // And what it stood still while rows were predicted, between the passes.
  double predicting_ms() const;
};

// Some steps of a run, added up.
struct StepSums {
  std::uint64_t first_step = 0, last_step = 0, steps = 0;
  engine::StepTimes mean;  // of a step
  double loss = 0;         // mean
  offload::Books books;
  offload::DiskLatencies disk_latencies;
  std::vector<PredictorReport> predictors;
};

// Of the books of forward passes of training.
ReadsByTier reads_of(const offload::Entry& forward, double steps);

// Of the lines from step `first` on; 0: those behind the first tenth, in which tiers fill up.
// Throws Error where there are none.
StepSums sums_of(std::span<const engine::StepMetrics> lines, std::uint64_t first = 0);
// tokens: of a step.
RunReport report_of(const StepSums& sums, std::int64_t tokens);
RunReport report_of(std::span<const engine::StepMetrics> lines, std::int64_t tokens,
                    std::uint64_t first = 0);

}  // namespace mneme::report
