// lookahead as RowPredictor: each memory layer's rows, predicted from the residual stream in front
// of the attention `distance` blocks before it (memory/prediction/lookahead_predictor.h).
#pragma once

#include <memory>
#include <vector>

#include "engine/prefetch/row_predictor.h"
#include "engine/run.h"
#include "memory/prediction/lookahead_predictor.h"
#include "memory/prediction/token_novelty.h"

namespace mneme::engine {

class LookaheadRows final : public RowPredictor {
 public:
  // distance: in blocks; 0 for the attention of the layer's own block. Layers with fewer blocks
  // before them look from block 0. learns: a map from that state to the layer's queries.
  LookaheadRows(Run& run, kernels::Stream& side, std::int64_t distance, bool learns);

  memory::PredictorKind kind() const override { return memory::PredictorKind::kLookahead; }
  std::int64_t distance() const override { return distance_; }
  void begin(std::uint64_t step, const Batch& batch) override;
  void before_branch(std::size_t branch, const float* state, std::int64_t tokens,
                     kernels::Stream& stream) override;
  void after_memory(std::size_t layer, const memory::TableLayer& memory, const Batch& batch,
                    kernels::Stream& stream) override;
  memory::PredictedRows of_micro_batch(std::size_t layer) override;
  void end_forward() override;
  NamedMaps maps() override;

 private:
  struct Layer {
    std::int64_t block = 0;
    std::size_t from = 0;  // the branch in front of which it looks
    std::unique_ptr<memory::LookaheadPredictor> predictor;
    const float* state = nullptr;  // of the running micro-batch
  };

  Run& run_;
  kernels::Stream& side_;
  std::int64_t distance_;
  bool learns_;
  std::unique_ptr<kernels::Event> seen_;
  std::vector<Layer> layers_;
  // Where it does not look at all tokens.
  double share_;
  memory::TokenNovelty novelty_;
  std::vector<std::int32_t> chosen_;  // of the running micro-batch
  std::uint64_t step_ = 0;
};

}  // namespace mneme::engine
