// Which rows coming steps will read, for the store's prefetch (tiers.prefetch), and how good that
// was.
//
//   token-history, bigram-history, trigram-history
//                      rows that the tokens of the next step's batch read lately, each behind the
//                      same token before (memory/prediction/). Hinted while the step before is
//                      still under way, when its forward pass is queued
//   union              of the histories of tokens, pairs and triples, by confidence
//   next-batch         the next step's tokens go through the blocks up to the first memory layer,
//                      between the steps: exact for that layer
//   oracle-next-step   the same through all blocks: every row that the next step reads, at the
//                      price of a forward pass. An ablation's upper bound
//
// Hints go to the host tier, at most tiers.prefetch_bytes a step, the most confident rows first;
// then, between the steps, at most tiers.prefetch_device_bytes of the same rows go on to the
// device.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/config.h"
#include "engine/data.h"
#include "engine/forward_observer.h"
#include "engine/prediction_metrics.h"
#include "engine/run.h"
#include "memory/prediction/history_predictor.h"
#include "memory/prediction/prediction_score.h"

namespace mneme::engine {

class RowPrefetch : public ForwardObserver {
 public:
  // All referents must outlive the object. Nothing is allocated for `none`.
  RowPrefetch(const Config& config, const Data& data, Run& run);
  ~RowPrefetch() override;

  // Whether micro-batches have to be announced and their forward pass observed.
  bool observes() const { return !predictors_.empty(); }
  // A micro-batch of a step comes next.
  void begin(std::uint64_t step, std::int64_t micro, const Batch& batch);
  void after_memory(std::int64_t block, const memory::MemoryLayer& layer,
                    kernels::Stream& stream) override;
  void after_forward(kernels::Stream& stream) override;

  // Between the steps: hints the rows of `next_step` to the store.
  void hint(std::uint64_t next_step);
  // Of the steps since the last call.
  std::vector<PredictionMetrics> take_scores();

 private:
  struct Layer;

  bool is_on() const;
  void open_histories();
  void score_step();
  void predict_next();
  void hint_exactly(std::uint64_t next_step);

  const Config& config_;
  const Data& data_;
  Run& run_;
  Batch batch_;  // of the next step
  std::vector<kernels::RowId> rows_;
  kernels::Buffer pinned_;  // of exact predictors: the look-ups of a layer

  // Of histories.
  std::unique_ptr<kernels::Stream> stream_;
  std::unique_ptr<kernels::Event> remembered_;
  std::vector<std::unique_ptr<memory::HistoryPredictor>> predictors_;
  std::vector<Layer> layers_;
  std::uint64_t step_ = 0;
  std::int64_t micro_ = 0;
  const Batch* current_ = nullptr;
  std::uint64_t predicted_step_ = 0;  // of which rows are predicted; 0: none
};

}  // namespace mneme::engine
