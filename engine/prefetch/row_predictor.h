// What predicts the rows that memory layers will read, as RowPrefetch asks it. Layers are numbered
// in the order of the model's memory blocks.
//
// Some look a step ahead: predict() tells them the tokens of the next step's micro-batches, behind
// the forward passes of the running one. Others look ahead within the forward pass: they see the
// residual stream on its way, and of_micro_batch() are the rows that it says before the layer asks
// for them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/data.h"
#include "engine/prefetch/predictor_file.h"
#include "kernels/backend.h"
#include "memory/prediction/predictor_kind.h"
#include "memory/prediction/vote_ranking.h"
#include "memory/table_layer.h"

namespace mneme::engine {

class RowPredictor {
 public:
  explicit RowPredictor(std::size_t layers) : rankings_(layers) {}
  virtual ~RowPredictor() = default;
  RowPredictor(const RowPredictor&) = delete;
  RowPredictor& operator=(const RowPredictor&) = delete;

  virtual memory::PredictorKind kind() const = 0;
  // Blocks between the state that it looks from and the layer; -1 where it looks a step ahead.
  virtual std::int64_t distance() const { return -1; }

  // What it has learned, by names that no other predictor has.
  virtual NamedMaps maps() { return {}; }

  // A micro-batch of a step comes next.
  virtual void begin(std::uint64_t /*step*/, const Batch& /*batch*/) {}
  // ---- The forward pass of the running step, as it is being queued (ForwardObserver).
  virtual void before_branch(std::size_t /*branch*/, const float* /*state*/,
                             std::int64_t /*tokens*/, kernels::Stream& /*stream*/) {}
  virtual void after_memory(std::size_t /*layer*/, const memory::TableLayer& /*memory*/,
                            const Batch& /*batch*/, kernels::Stream& /*stream*/) {}
  // The rows of the running micro-batch that are predicted for a layer. Waits for them. Once a
  // micro-batch and layer, before the layer itself is queued.
  virtual memory::PredictedRows of_micro_batch(std::size_t /*layer*/) { return {}; }

  // ---- Behind a step's forward passes.
  // All that was queued on the side stream has run.
  virtual void end_forward() {}
  // A micro-batch of the next step. Waits.
  virtual void predict(const Batch& /*next*/) {}
  // Of a layer, all micro-batches together: rows of the next step, or where it looks ahead within
  // the forward pass, those of the step that has just run.
  memory::PredictedRows take(std::size_t layer) { return rankings_[layer].take(); }
  // What became of them. read: ascending.
  void learn(std::size_t layer, const memory::PredictedRows& predicted,
             std::span<const kernels::RowId> read) {
    rankings_[layer].learn(predicted, read);
  }

 protected:
  std::size_t layers() const { return rankings_.size(); }
  memory::VoteRanking& ranking(std::size_t layer) { return rankings_[layer]; }

 private:
  std::vector<memory::VoteRanking> rankings_;  // of each layer
};

}  // namespace mneme::engine
