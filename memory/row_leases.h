// Leases of the rows that a value table works on: current for the running step, or for the step
// that an evaluation reads, and chunk by chunk where the device tier cannot hold all of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "io/check.h"
#include "kernels/backend.h"
#include "memory/catch_up.h"
#include "memory/lookup_set.h"
#include "memory/row_optimizer.h"
#include "offload/tiered_store.h"

namespace mneme::memory {

// What a pass does with its rows, beside reading them.
struct ChunkWork {
  bool ascending = false;     // it adds up sums over the rows, which have one order
  bool changes_rows = false;  // they become dirty
};

class RowLeases {
 public:
  // seed: of the stochastic rounding of caught-up values.
  RowLeases(kernels::Backend& backend, offload::TieredStore& store,
            const RowOptimizerOptions& optimizer, std::uint64_t seed);

  // Leases are of training step `step`: values are those after step - 1.
  void begin_step(std::uint64_t step);
  // Leases are read-only: values are those after `completed_step`.
  void begin_evaluation(std::uint64_t completed_step, offload::Cause cause);
  bool is_training() const { return mode_ == offload::LeaseMode::kTrain; }

  // What makes rows current for the step that leases read.
  offload::Currency currency() { return currency(current_for_); }
  offload::Currency currency(std::uint64_t step);

  // Grouping and look-up are queued together, so that the caller waits once, and only when it takes
  // the lease.
  void look_up(kernels::Stream& stream, const DistinctRows& rows, offload::Pass pass);
  // How many rows there are. Waits.
  std::int64_t count(kernels::Stream& stream, const DistinctRows& rows);

  // Runs `work(lease, first)` over the rows in chunks that the device tier can hold: in a backward
  // pass from the last to the first, so that it begins with those that the forward pass left there,
  // unless the work goes upwards.
  // Each chunk's rows stay resident after its lease where the budget allows, for the next
  // operation. The rows of a chunk come beside the caller's other work and beside the work on the
  // chunk before. Those that the work changes are marked as dirty here.
  template <typename Work>
  void for_each_chunk(kernels::Stream& stream, const DistinctRows& rows, offload::Pass pass,
                      const Work& work, const ChunkWork& kind = {}) {
    const offload::Currency current = currency();
    const std::int64_t all = count(stream, rows);
    offload::LeaseRequest chunk_request = request(rows, pass);
    chunk_request.count = all;
    chunk_request.count_at = nullptr;
    chunk_request.ascending = kind.ascending;
    chunk_request.changes_rows = kind.changes_rows;
    const bool descends = pass == offload::Pass::kBackward && !chunk_request.ascending;
    const std::int64_t capacity = store_.lease_capacity(mode_);
    // Two leases at a time where all rows do not fit into one; read-only ones come one by one.
    const bool two = is_training() && all > capacity;
    const std::int64_t chunk = two ? capacity / 2 : capacity;
    CHECK(chunk >= 1);
    const std::int64_t chunks = (all + chunk - 1) / chunk;
    std::optional<offload::LeaseParts> parts;
    if (chunks > 1) parts.emplace(store_, chunk_request, chunk);
    offload::Lease before;
    for (std::int64_t i = 0; i < chunks; ++i) {
      const std::int64_t first = chunk * (descends ? chunks - 1 - i : i);
      chunk_request.rows = rows.rows + first;
      chunk_request.count = std::min(chunk, all - first);
      offload::Lease lease = store_.acquire(stream, chunk_request, current);
      // It ends in front of the work on these rows: the next ones come beside that.
      before = {};
      work(lease, first);
      if (kind.changes_rows) lease.mark_dirty();
      if (two) before = std::move(lease);
    }
    // The catch-up tables may change only after this point of the stream.
    catch_up_.mark_used(stream);
  }

 private:
  // The lease of all the rows.
  offload::LeaseRequest request(const DistinctRows& rows, offload::Pass pass) const;

  offload::TieredStore& store_;
  kernels::RowOptimizerKind kind_;
  CatchUp catch_up_;
  offload::Cause cause_ = offload::Cause::kTraining;
  offload::LeaseMode mode_ = offload::LeaseMode::kTrain;
  std::uint64_t current_for_ = 0;
  const kernels::RowId* looked_up_ = nullptr;  // of the last look-up, until it is waited for
};

}  // namespace mneme::memory
