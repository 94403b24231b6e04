// The gradient of a value table's rows in one step, and the optimiser's step on them: norm,
// clipping, update.
//
// The gradient is kept in factored form (row_gradient.h). Where calls_kept is less than the calls
// of a step, what is kept is added up in the rows whenever more would not fit
// (accumulated_gradient.h): the same sums, in the same order. A step that never came to that goes
// on from the factored form.
#pragma once

#include <cstdint>
#include <optional>

#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "memory/accumulated_gradient.h"
#include "memory/row_gradient.h"
#include "memory/row_leases.h"
#include "memory/row_optimizer.h"

namespace mneme::memory {

// What a step did to the rows.
struct TableStep {
  std::int64_t distinct_rows = 0;  // updated
  // Of all rows together, before clipping; 0 when clipping is off. Where it is not finite, the
  // step's gradient counted as zero.
  double gradient_norm = 0;
};

struct RowUpdateShape {
  std::uint64_t table_rows = 0;
  kernels::ColumnRange columns;
  int parts = 1;  // of a row
  std::int64_t tokens_per_call = 0, lookups_per_token = 0;
  std::int64_t calls = 0;       // of a step
  std::int64_t calls_kept = 0;  // at once
  std::int64_t slots = 0;       // of the arena that rows are leased in
  bool has_disk_budget = false;
};

class RowUpdate {
 public:
  // seed: of stochastic rounding. leases, store and options must outlive the update.
  RowUpdate(kernels::Backend& backend, offload::TieredStore& store, RowLeases& leases,
            const RowOptimizerOptions& optimizer, const RowUpdateShape& shape, std::uint64_t seed);

  // Forgets what is left of a step that failed.
  void begin_step(std::uint64_t step);
  // Adds one call, as StepGradient::keep() does.
  void keep(kernels::Stream& stream, const LookupSet& set, const FactoredParts& parts) {
    kept_.keep(stream, set, parts);
    grouped_ = added_ = false;
  }
  // As of ValueTable.
  void make_gradient_room(kernels::Stream& stream, std::int64_t calls);
  void check_disk_room(kernels::Stream& stream);
  TableStep finish_step(kernels::Stream& stream);
  // Of what has been kept and not added up in the rows.
  const StepGradient& kept() const { return kept_; }

 private:
  // Whether some of the step's gradient stands in the rows.
  bool is_accumulated() const { return accumulated_ && !accumulated_->is_empty(); }
  void forget_kept();
  void group_kept(kernels::Stream& stream);
  void accumulate(kernels::Stream& stream);
  // Leaves the clip factor in grad_scale_; returns the norm.
  double clip(kernels::Stream& stream, const DistinctRows& rows, std::int64_t count);
  void queue_kept_norms(kernels::Stream& stream, std::int64_t count);
  void queue_accumulated_norms(kernels::Stream& stream, const DistinctRows& rows,
                               std::int64_t count);
  // Queues the sums of square_norms_, [groups, count], as those of chunk `chunk`.
  void queue_sums(kernels::Stream& stream, std::int64_t chunk, std::int64_t count);
  void update(kernels::Stream& stream, const DistinctRows& rows);
  kernels::RowUpdateArgs update_args();

  kernels::Backend& backend_;
  offload::TieredStore& store_;
  RowLeases& leases_;
  RowOptimizerOptions optimizer_;
  RowUpdateShape shape_;
  std::uint64_t seed_;
  StepGradient kept_;
  bool grouped_ = false;                            // kept_, with all of it
  bool added_ = false;                              // its rows are accumulated_'s
  std::optional<AccumulatedGradient> accumulated_;  // where not all calls are kept

  int groups_;                // column groups of all parts, whose norms are kept apart
  std::int64_t norm_chunks_;  // the most of a step; 0: nothing is clipped
  kernels::DeviceArray<float> square_norms_;      // [groups, kNormRows]: of a chunk's rows
  kernels::DeviceArray<float> some_norms_;        // the same, of rows that are leased together
  kernels::DeviceArray<double> square_sums_;      // [chunks, groups]
  kernels::DeviceArray<double> square_sum_;       // [1]
  kernels::DeviceArray<double> host_square_sum_;  // [1], pinned host
  kernels::DeviceArray<float> grad_scale_;        // [1]
  kernels::DeviceArray<float> host_one_;          // [1], pinned host

  std::uint64_t step_ = 0;
};

}  // namespace mneme::memory
