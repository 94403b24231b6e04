// Which rows the next step will read, for the store's prefetch: an ablation's upper bound.
//
// `oracle-next-step` knows the next step's tokens from the data order and runs their forward pass
// once more, without gradients, to learn their product-key indices. The weights are those before
// that step, so every row it names is the row that the step reads. It costs a forward pass, which
// step times include; predictors that are cheap enough to pay belong in memory/prediction.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/config.h"
#include "engine/data.h"
#include "engine/run.h"

namespace mneme::engine {

class RowPrefetch {
 public:
  // All referents must outlive the object.
  RowPrefetch(const Config& config, const Data& data, Run& run);

  // Hints the rows of `next_step` to the store, between the steps. Nothing for `none`.
  void hint(std::uint64_t next_step);

 private:
  const Config& config_;
  const Data& data_;
  Run& run_;
  Batch batch_;
  std::vector<kernels::RowId> rows_;
  kernels::Buffer pinned_;
};

}  // namespace mneme::engine
