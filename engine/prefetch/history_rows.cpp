#include "engine/prefetch/history_rows.h"

#include "engine/prefetch/predictor_options.h"

namespace mneme::engine {

HistoryRows::HistoryRows(memory::PredictorKind kind, Run& run, kernels::Stream& side)
    : RowPredictor(run.model().options().table_blocks().size()),
      kind_(kind),
      side_(side),
      predictor_(run.backend(), history_options(run.config(), run.model().options(),
                                                run.table()->options().rows, kind)) {}

// The side stream has read the histories by then: the step before has waited for it.
void HistoryRows::after_memory(std::size_t layer, const memory::TableLayer& memory,
                               const Batch& batch, kernels::Stream& stream) {
  predictor_.remember(stream, layer, memory.rows(), batch.tokens);
}

void HistoryRows::predict(const Batch& next) {
  for (std::size_t layer = 0; layer < layers(); ++layer) {
    const memory::RowVotes::Counted counted = predictor_.predict(side_, layer, next.tokens);
    ranking(layer).add(counted.rows, counted.votes);
  }
}

}  // namespace mneme::engine
