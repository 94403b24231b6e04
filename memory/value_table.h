// One value table: its rows (in a tiered store), the gradient of its rows in the running step, and
// their optimiser. Any number of memory layers share a table; a process may have several tables.
//
// Terms
//   look-up             one reading of a row by a token: token t of a layer has
//                       lookups_per_token = heads * knn of them, each with a row and a weight
//   distinct rows       of a call or a step: each row once, ascending, however many look-ups it has
//   factored gradient   the gradient of row r is the sum of weight * d_y over the look-ups of r. It
//                       is kept as (rows, weights, d_y): tokens * width numbers, where the gradient
//                       itself would have rows * width
//   part                a row has one, its value, or two, PEER's u and v, each `width` wide. The
//                       value that memory layers read is the last one; layers of both kinds may
//                       share a table of two
//   accumulated         with more tokens in a step than there is room for, what is kept is added up
//                       in the rows, now and then: they have an array for it, in every tier
//
// A training step t:
//
//   begin_step(t)
//   for each micro-batch
//     for each layer, forward     group()          find the distinct rows
//                                 gather()         y = sum of weight * value
//     for each layer, backward    dot()            gradients of the weights
//                                 keep_gradient()  copy (rows, weights, d_y)
//     make_gradient_room()        where another micro-batch would not fit: add it up in the rows
//   check_disk_room()             optional: fail before anything has changed
//   finish_step()                 clip, then update every row that a look-up of the step read
//
// Evaluation: begin_evaluation(t) after step t, then group() and gather().
//
// gather(), dot() and finish_step() lease their rows from the store, in chunks where the device
// tier cannot hold all of them at once. Sums run over rows in ascending order, so that chunks never
// change a result.
//
// Threads: no two calls at the same time. Functions that take a stream queue their work on it; they
// also block the caller while rows have to be looked up, or read from the disk. Failures throw
// io::Error, as in the store.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "io/disk.h"
#include "kernels/backend.h"
#include "memory/lookup_set.h"
#include "memory/record_exchange.h"
#include "memory/row_leases.h"
#include "memory/row_optimizer.h"
#include "memory/row_update.h"
#include "offload/tiered_store.h"

namespace mneme::memory {

struct ValueTableOptions {
  std::uint32_t table = 0;  // number of the table; initial values depend on it
  std::uint64_t rows = 0;   // K = n^2
  std::int64_t width = 0;   // d_v
  int parts = 1;            // of a row
  // The columns of each row that this table holds, computes and stores; none: all of them. y, d_y
  // and values in and out have these columns only, and what dot() gives are this range's sums. A
  // table of some columns cannot know the norm of a whole row: clip_norm must be 0, and the
  // optimiser not adagrad-rowwise.
  kernels::ColumnRange columns;
  kernels::FloatType value_type = kernels::FloatType::kF32;
  kernels::FloatType moment_type = kernels::FloatType::kF32;
  std::uint64_t seed = 0;
  RowOptimizerOptions optimizer;
  offload::TierOptions tiers;
  // As in offload::StoreOptions.
  std::uint64_t run_id = 0;
  std::vector<std::string> paths;  // of the rows files; see StoreOptions
  std::uint64_t save_bytes = offload::StoreOptions{}.save_bytes;
  bool read_only = false;
  // Buffers are allocated at construction for these sizes.
  std::int64_t tokens_per_call = 0;          // the most tokens of one micro-batch
  std::int64_t lookups_per_token = 0;        // heads * knn; the same for all layers of a table
  std::int64_t gradient_calls_per_step = 0;  // layers * micro-batches
  // Of which so many are kept at once; 0 for all. Fewer than all take rows with gradient arrays,
  // which are part of their records.
  std::int64_t gradient_calls_kept = 0;
  bool accumulates_gradient = false;
};

// What look-ups of a table of two parts are worth: PEER's tiny experts (SPEC.md). Device memory,
// [tokens, lookups_per_token] each.
struct ExpertLookups {
  const float* weights = nullptr;
  float* dots = nullptr;     // <x, u>
  float* factors = nullptr;  // weight * gelu(dot), of v in the output
};
struct ExpertGradients {
  const float* d_y = nullptr;  // [tokens, columns]
  float* d_factors = nullptr;
  float* d_weights = nullptr;
  float* d_dots = nullptr;
  float* d_x = nullptr;  // [tokens, columns], added to
};

// The columns of each row that a table with these options holds.
kernels::ColumnRange columns_of(const ValueTableOptions& options);
// The options of the store that it has.
offload::StoreOptions store_options(const ValueTableOptions& options);

class ValueTable {
 public:
  // Allocates the buffers and opens the store. On the CPU backend memory that no step has used yet
  // costs nothing. Throws Error when an option is out of range or a tier's budget too small.
  // Backend and disk must outlive the table.
  ValueTable(kernels::Backend& backend, io::Disk& disk, const ValueTableOptions& options);

  const ValueTableOptions& options() const { return options_; }
  offload::TieredStore& store() { return store_; }

  // Steps count from 1. Until finish_step(), values are those after step - 1.
  void begin_step(std::uint64_t step);
  // Evaluation and sampling between steps: values are those after `completed_step`, under read-only
  // leases, until the next begin_step(). cause: that the rows are booked to.
  void begin_evaluation(std::uint64_t completed_step,
                        offload::Cause cause = offload::Cause::kEvaluation);

  // Look-ups of one layer, by the index of its block: its rows are booked to it.
  std::unique_ptr<LookupSet> make_lookup_set(std::int32_t layer = offload::kNoLayer);
  // Queues the grouping of the look-ups by row and the look-up of the rows in the store. rows:
  // device, [tokens, lookups_per_token], unchanged while the set is in use.
  void group(kernels::Stream& stream, const kernels::RowId* rows, std::int64_t tokens,
             LookupSet& set);
  // y[t] = sum over the look-ups of token t of weight * value. weights: device, [tokens,
  // lookups_per_token]; y: device, [tokens, columns], overwritten.
  void gather(kernels::Stream& stream, LookupSet& set, const float* weights, float* y);
  // d_weights of a look-up of token t = <d_y[t], value>. d_y: device, [tokens, columns]; d_weights:
  // device, [tokens, lookups_per_token], overwritten.
  void dot(kernels::Stream& stream, LookupSet& set, const float* d_y, float* d_weights);
  // Adds one call to the factored gradient of the step: rows, weights and d_y are copied. REQUIRES:
  // begin_step() came last, not begin_evaluation().
  void keep_gradient(kernels::Stream& stream, const LookupSet& set, const float* weights,
                     const float* d_y);
  // The same of all parts of the rows.
  void keep_gradient(kernels::Stream& stream, const LookupSet& set, const FactoredParts& parts);

  // Of tables of two parts. Fills dots and factors, and y[t] = sum of factor * v. x, y: device,
  // [tokens, columns], y overwritten.
  void run_experts(kernels::Stream& stream, LookupSet& set, const float* x,
                   const ExpertLookups& lookups, float* y);
  // Fills d_factors, d_weights and d_dots, and adds sum of d_dot * u to d_x. lookups: as
  // run_experts() left them.
  void run_experts_backward(kernels::Stream& stream, LookupSet& set, const ExpertLookups& lookups,
                            const ExpertGradients& gradients);

  // Where `calls` more would not fit, adds up what is kept in the rows: with the sums, in the
  // order, that finish_step() would work out. Throws as check_disk_room() does, and may be called
  // again then.
  void make_gradient_room(kernels::Stream& stream, std::int64_t calls);
  // Throws offload::DiskBudgetError when the rows file has no room for the rows that finish_step()
  // would change (TieredStore::require_disk_room). No value has changed then, and it may be called
  // again.
  void check_disk_room(kernels::Stream& stream);
  // The optimiser's step: norm of the row gradient, clipping, update of the step's distinct rows.
  // The update is queued on the stream and not waited for. A mean over micro-batches is the
  // caller's: 1 / micro-batches is a factor of its d_y.
  TableStep finish_step(kernels::Stream& stream);

  // Values of rows as they are after `completed_step`, untouched rows included. rows: distinct,
  // ascending. out: [rows.size(), parts, columns], float32. No row changes. In a read-only table
  // records come in the order of the files: the more rows in one call, the faster. between: called
  // now and then; what it throws ends the call.
  void read_values(std::uint64_t completed_step, std::span<const kernels::RowId> rows,
                   std::span<float> out, const std::function<void()>& between = {});
  // Of rows first .. first + count - 1.
  void read_values(std::uint64_t completed_step, kernels::RowId first, std::int64_t count,
                   std::span<float> out);
  // Sets the values of rows, with zero moments and current for `step`. rows: distinct, ascending;
  // values: [rows.size(), parts, columns].
  void write_values(std::span<const kernels::RowId> rows, std::span<const float> values,
                    std::uint64_t step);
  // For tests of small tables: the row gradient that is kept in factored form, as a dense array
  // [rows, parts, columns].
  std::vector<float> dense_gradient(kernels::Stream& stream);

 private:
  int value_part() const { return options_.parts - 1; }
  // REQUIRES two parts.
  void check_experts() const;

  kernels::Backend& backend_;
  ValueTableOptions options_;
  offload::TieredStore store_;
  RowLeases leases_;
  RowUpdate update_;
  RecordExchange exchange_;
};

}  // namespace mneme::memory
