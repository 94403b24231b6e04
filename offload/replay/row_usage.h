// How the rows of a table are used: how many a step reads, how many of them for the first time, how
// unevenly uses are spread, and how long it is until a row is used again.
//
// A use is a row that one forward pass of a layer reads: once for each layer and micro-batch,
// however many tokens select it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "offload/replay/miss_ratio.h"
#include "offload/trace/trace_file.h"

namespace mneme::offload {

struct StepRows {
  std::uint64_t step = 0;
  std::uint64_t distinct = 0;  // rows read in the step
  std::uint64_t new_rows = 0;  // of these, never read before
  bool operator==(const StepRows&) const = default;
};

// Values that lie below shares of all: .5 is the median.
struct Quantiles {
  double p50 = 0, p90 = 0, p99 = 0;
};

struct RowUsage {
  std::uint64_t table_rows = 0, uses = 0, used_rows = 0;
  std::vector<StepRows> steps;  // in order

  // ---- How uses are spread over all rows of the table, those without a use included ----
  double gini = 0;             // 0: all rows alike; 1: all uses are of one row
  double kl_from_uniform = 0;  // Kullback-Leibler divergence, nats
  // The share of uses that the most used 1, 10, 50% of the rows have.
  double top_1 = 0, top_10 = 0, top_50 = 0;
  // -d log(uses) / d log(rank), by least squares over ranks that are evenly spaced in their
  // logarithms, of rows with 8 uses and more; 0 where fewer than 3 such ranks are.
  double zipf_slope = 0;
  // Uses of the rows with the most, at ranks 1, 2, 4, ... and at the last row with a use.
  std::vector<std::pair<std::uint64_t, std::uint64_t>> uses_by_rank;

  // ---- Of uses of rows that were used before ----
  Quantiles reuse_rows;   // different rows since the use before, the row itself included
  Quantiles reuse_steps;  // steps since then; 0 for the same step
};

// Counts the uses of a layer, or of a table.
class RowUsageCounter {
 public:
  explicit RowUsageCounter(std::uint64_t table_rows);
  // rows: below table_rows. Steps may come again where a run was resumed: they count as new steps.
  void begin_step(std::uint64_t step);
  void add(std::span<const std::uint32_t> rows);
  RowUsage usage() const;

 private:
  std::vector<std::uint32_t> uses_;       // by row
  std::vector<std::uint32_t> last_step_;  // by row: the place in steps_, from 1; 0 for none
  std::vector<StepRows> steps_;
  std::vector<std::uint64_t> gaps_;  // reuses by steps passed
  StackDistances distances_;
};

// Of forward passes in training. by_layer: of each layer by itself.
struct TraceUsage {
  RowUsage all;
  std::map<std::int32_t, RowUsage> by_layer;
};
// Reads the rest of a trace. between: called now and then; what it throws ends the call. Memory: 12
// bytes a row of the table, and about as much for each layer, plus 8 bytes a used row.
TraceUsage usage_of(TraceReader& reader, const std::function<void()>& between = {});

}  // namespace mneme::offload
