#include "engine/prefetch/history_rows.h"

namespace mneme::engine {
namespace {

memory::HistoryNeeds needs_of(Run& run, std::uint64_t history_bytes) {
  const Config& config = run.config();
  return {.layers = run.model().options().memory_blocks.size(),
          .tokens = config.tokens_per_micro_batch(),
          .lookups_per_token = config.memory.heads * config.memory.knn,
          .sequence = config.train.sequence,
          .table_rows = run.table()->options().rows,
          .bytes = history_bytes};
}

}  // namespace

HistoryRows::HistoryRows(memory::PredictorKind kind, Run& run, kernels::Stream& side,
                         std::uint64_t history_bytes)
    : RowPredictor(run.model().options().memory_blocks.size()),
      kind_(kind),
      side_(side),
      predictor_(run.backend(), memory::history_options(kind, needs_of(run, history_bytes))) {}

// The side stream has read the histories by then: the step before has waited for it.
void HistoryRows::after_memory(std::size_t layer, const memory::MemoryLayer& memory,
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
