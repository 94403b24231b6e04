// The catch-up table in device memory: what it takes to bring rows up to a step. After a step only
// the entries that it changed are uploaded. Optimisers without catch-up have no table.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "kernels/backend.h"
#include "kernels/catch_up_table.h"
#include "kernels/device_array.h"
#include "memory/row_optimizer.h"

namespace mneme::memory {

class CatchUp {
 public:
  // seed: of the stochastic rounding of caught-up values.
  CatchUp(kernels::Backend& backend, const RowOptimizerOptions& options, std::uint64_t seed);

  // What brings rows up to `target_step`; null where the optimiser needs no catch-up. Valid until
  // the next call. Going back to an earlier step works, at the cost of starting afresh. The upload
  // is queued on a stream of its own: work that reads the table waits for ready().
  const kernels::CatchUpArgs* advance(std::uint64_t target_step);
  // After the last upload; null where the optimiser needs no catch-up.
  kernels::Event* ready() const { return uploaded_.get(); }
  // To be called when work that reads the table is queued on `stream`, or on streams that it waits
  // for: later uploads run after that work.
  void mark_used(kernels::Stream& stream);

 private:
  kernels::CatchUpTable make_table() const;
  void advance_table(std::uint64_t since, std::uint64_t target_step);
  void upload(std::uint64_t since);
  void grow(std::int64_t steps);
  template <typename T>
  void upload_range(const kernels::DeviceArray<T>& target, std::span<const T> source,
                    std::uint64_t first);
  void empty_staging();

  kernels::Backend* backend_;
  RowOptimizerOptions options_;
  std::optional<kernels::CatchUpTable> table_;  // nothing where no catch-up is needed
  kernels::CatchUpArgs args_;
  std::unique_ptr<kernels::Stream> stream_;
  std::unique_ptr<kernels::Event> used_;
  std::unique_ptr<kernels::Event> uploaded_;
  kernels::DeviceArray<std::byte> staging_;  // pinned host
  std::size_t staged_ = 0;                   // bytes of it that uploads since `uploaded_` read
  kernels::DeviceArray<kernels::CatchUpEntry> entries_;
  kernels::DeviceArray<float> learning_rates_;
  kernels::DeviceArray<double> log_decay_;
  kernels::DeviceArray<kernels::MomentDecay> moment_decay_;
};

}  // namespace mneme::memory
