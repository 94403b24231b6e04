// token-, bigram- and trigram-history as RowPredictor: memory/prediction/history_predictor.h.
#pragma once

#include "engine/prefetch/row_predictor.h"
#include "engine/run.h"
#include "memory/prediction/history_predictor.h"

namespace mneme::engine {

class HistoryRows final : public RowPredictor {
 public:
  // side: where recalling and counting run.
  HistoryRows(memory::PredictorKind kind, Run& run, kernels::Stream& side);

  memory::PredictorKind kind() const override { return kind_; }
  void after_memory(std::size_t layer, const memory::TableLayer& memory, const Batch& batch,
                    kernels::Stream& stream) override;
  void predict(const Batch& next) override;

 private:
  memory::PredictorKind kind_;
  kernels::Stream& side_;
  memory::HistoryPredictor predictor_;
};

}  // namespace mneme::engine
