#include "engine/prefetch/history_rows.h"

#include <algorithm>

namespace mneme::engine {
namespace {

using memory::PredictorKind;

// Contexts of a history: 256 bytes' pairs have numbers of their own.
constexpr std::uint32_t kContexts = 1u << 18;
// Tokens that a history knows of a context.
constexpr int kDepth = 8;

int context_length(PredictorKind kind) {
  return kind == PredictorKind::kTokenHistory ? 1 : kind == PredictorKind::kBigramHistory ? 2 : 3;
}

memory::HistoryPredictorOptions options_of(PredictorKind kind, Run& run,
                                           std::uint64_t history_bytes) {
  const Config& config = run.config();
  const std::size_t layers = run.model().options().memory_blocks.size();
  const std::int64_t tokens = config.tokens_per_micro_batch();
  const std::int64_t lookups = config.memory.heads * config.memory.knn;
  // Of a batch that is larger it is more.
  const std::int64_t affordable =
      static_cast<std::int64_t>(history_bytes) /
      (lookups * static_cast<std::int64_t>(sizeof(kernels::RowId) * layers));
  return {.layers = layers,
          .history = {.tokens = tokens,
                      .lookups_per_token = lookups,
                      .ring_tokens = std::max(tokens, affordable),
                      .contexts = kContexts,
                      .depth = kDepth},
          .table_rows = run.table()->options().rows,
          .context_length = context_length(kind),
          .sequence = config.train.sequence};
}

}  // namespace

HistoryRows::HistoryRows(PredictorKind kind, Run& run, kernels::Stream& side,
                         std::uint64_t history_bytes)
    : RowPredictor(run.model().options().memory_blocks.size()),
      kind_(kind),
      side_(side),
      predictor_(run.backend(), options_of(kind, run, history_bytes)) {}

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
