// One value table: its tiered store, the step's factored gradient, and the row optimiser's step.
// Any number of memory layers share one table; a process may have several tables.
//
// Use within a training step t (one caller thread):
//   begin_step(t); for each micro-batch, each layer: forward (gather), backward (dot, then
//   keep_gradient); finish_step().
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "io/disk.h"
#include "kernels/backend.h"
#include "memory/row_optimizer.h"
#include "offload/tiered_store.h"

namespace mneme::memory {

struct ValueTableOptions {
  std::uint32_t table = 0;
  std::uint64_t rows = 0;  // K = n^2
  std::int64_t width = 0;  // d_v
  kernels::FloatType value_type = kernels::FloatType::kF32;
  kernels::FloatType moment_type = kernels::FloatType::kF32;
  std::uint64_t seed = 0;
  RowOptimizerOptions optimizer;
  offload::TierOptions tiers;
  // As in offload::StoreOptions.
  std::uint64_t run_id = 0;
  std::string path;  // rows file
  bool read_only = false;
  // Sizes of buffers, fixed at construction.
  std::int64_t tokens_per_call = 0;          // tokens of one micro-batch
  std::int64_t lookups_per_token = 0;        // heads * knn; the same for all layers of a table
  std::int64_t gradient_calls_per_step = 0;  // layers * micro-batches
};

// The options of a table's store.
offload::StoreOptions store_options(const ValueTableOptions& options);

// The rows that one layer reads in one micro-batch; filled by ValueTable::group.
class LookupSet;

struct TableStep {
  std::int64_t distinct_rows = 0;
  // Before clipping; 0 when clipping is off. When it is not finite, the step's gradient counted as
  // zero.
  double gradient_norm = 0;
};

class ValueTable {
 public:
  // Allocates every buffer of the sizes given (untouched memory costs nothing) and opens the store.
  // Throws Error when an option is out of range or a tier's budget is too small. Backend and disk
  // must outlive the table.
  ValueTable(kernels::Backend& backend, io::Disk& disk, const ValueTableOptions& options);
  ~ValueTable();

  const ValueTableOptions& options() const;
  offload::TieredStore& store();

  void begin_step(std::uint64_t step);
  // Evaluation and sampling between steps: values as of after `completed_step`.
  void begin_evaluation(std::uint64_t completed_step);

  // Groups a layer's lookups. rows: device, [tokens * lookups_per_token].
  std::unique_ptr<LookupSet> make_lookup_set();
  void group(kernels::Stream& stream, const kernels::RowId* rows, std::int64_t tokens,
             LookupSet& set);
  // y[t] = sum of weight * value. y: [tokens, width], overwritten. weights: [tokens * lookups].
  void gather(kernels::Stream& stream, LookupSet& set, const float* weights, float* y);
  // d_weights[l] = <d_y[t], value>. d_weights: [tokens * lookups], overwritten.
  void dot(kernels::Stream& stream, LookupSet& set, const float* d_y, float* d_weights);
  // Keeps (rows, weights, d_y) for the update; copied.
  void keep_gradient(kernels::Stream& stream, const LookupSet& set, const float* weights,
                     const float* d_y);
  // Norm, clip, optimiser step on the rows of the step. gradient_scale: e.g. 1 / micro-batches is
  // already in d_y and needs none.
  TableStep finish_step(kernels::Stream& stream);

  // Values of rows as they are after `completed_step`, untouched rows included; float32,
  // [count, width] for rows first .. first + count - 1. Nothing is stored.
  void read_values(std::uint64_t completed_step, kernels::RowId first, std::int64_t count,
                   std::span<float> out);
  // Sets rows' values, moments zero, current for step `step`. values: [rows.size(), width].
  void write_values(std::span<const kernels::RowId> rows, std::span<const float> values,
                    std::uint64_t step);
  // The accumulated row gradient of the step so far, for tests: dense [rows, width]. Small tables.
  std::vector<float> dense_gradient(kernels::Stream& stream);

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace mneme::memory
