// next-batch as RowPredictor: the next step's tokens go through the blocks in front of the first
// memory layer, with the parameters of the running step. That tells the rows of this layer but for
// one update of the parameters; those of the later layers are looked ahead to from there, by
// learned maps.
#pragma once

#include <memory>
#include <vector>

#include "engine/batch_staging.h"
#include "engine/blocks.h"
#include "engine/prefetch/row_predictor.h"
#include "engine/run.h"
#include "memory/prediction/lookahead_predictor.h"

namespace mneme::engine {

class NextBatchRows final : public RowPredictor {
 public:
  // Allocates the activations of these blocks once more.
  NextBatchRows(Run& run, kernels::Stream& side);

  memory::PredictorKind kind() const override { return memory::PredictorKind::kNextBatch; }
  void begin(std::uint64_t step, const Batch& batch) override;
  void before_branch(std::size_t branch, const float* state, std::int64_t tokens,
                     kernels::Stream& stream) override;
  void after_memory(std::size_t layer, const memory::TableLayer& memory, const Batch& batch,
                    kernels::Stream& stream) override;
  void end_forward() override;
  void predict(const Batch& next) override;
  NamedMaps maps() override;

 private:
  struct Layer {
    std::int64_t block = 0;
    std::unique_ptr<memory::LookaheadPredictor> predictor;
  };

  Run& run_;
  kernels::Stream& side_;
  std::size_t from_;  // the branch of the first memory layer
  Blocks blocks_;
  BatchStaging staging_;
  std::unique_ptr<kernels::Event> seen_;
  std::vector<Layer> layers_;
  const float* state_ = nullptr;  // of the running micro-batch, in front of the first memory layer
  std::uint64_t step_ = 0;
};

}  // namespace mneme::engine
