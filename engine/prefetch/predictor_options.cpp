#include "engine/prefetch/predictor_options.h"

#include <algorithm>

#include "engine/run_options.h"

namespace mneme::engine {

using memory::PredictorKind;

namespace {

// Device memory of one history.
std::uint64_t history_bytes(const TiersConfig& tiers) {
  const bool all = tiers.prefetch == PredictorKind::kUnion;
  return tiers.prefetch_history_bytes / (all ? memory::kHistories.size() : 1);
}

}  // namespace

bool is_part(PredictorKind part, PredictorKind kind) {
  if (kind == PredictorKind::kAuto) {
    return part == PredictorKind::kTrigramHistory || part == PredictorKind::kLookahead ||
           part == PredictorKind::kNextBatch;
  }
  return part == kind || kind == PredictorKind::kUnion;
}

memory::HistoryPredictorOptions history_options(const Config& config, const ModelOptions& model,
                                                std::uint64_t table_rows, PredictorKind kind) {
  return memory::history_options(kind,
                                 {.layers = model.table_blocks().size(),
                                  .tokens = config.tokens_per_micro_batch(),
                                  .lookups_per_token = config.memory.heads * config.memory.knn,
                                  .sequence = config.train.sequence,
                                  .table_rows = table_rows,
                                  .bytes = history_bytes(config.tiers)});
}

memory::LookaheadOptions lookahead_options(const Config& config, const ModelOptions& model,
                                           std::uint64_t table_rows, bool learns) {
  // A prediction that is a guess names more rows than the layer will read.
  const std::int64_t knn = config.tiers.lookahead_knn;
  const std::int64_t guessed =
      knn > 0 ? knn : std::min<std::int64_t>(128, (3 * model.memory.knn + 1) / 2);
  return {.width = model.width,
          .search = {.heads = model.memory.heads,
                     .knn = std::min(guessed, model.memory.half_keys),
                     .half_keys = model.memory.half_keys,
                     .key_width = model.memory.key_width,
                     .norm = model.memory.query_key_norm,
                     .tokens = model.tokens()},
          .norm_epsilon = model.norm_epsilon,
          .table_rows = table_rows,
          .learns = learns};
}

memory::LookaheadOptions next_batch_options(const Config& config, const ModelOptions& model,
                                            std::uint64_t table_rows, bool is_first) {
  memory::LookaheadOptions options = lookahead_options(config, model, table_rows, !is_first);
  if (is_first) options.search.knn = model.memory.knn;
  return options;
}

PrefetchMemory prefetch_memory(const Config& config) {
  const PredictorKind kind = config.tiers.prefetch;
  PrefetchMemory found;
  if (!config.has_memory() || kind == PredictorKind::kNone ||
      kind == PredictorKind::kOracleNextStep) {
    return found;
  }
  const ModelOptions model = resolve(model_options(config));
  const std::uint64_t rows = value_table_options(config, 0).rows;
  for (const PredictorKind history : memory::kHistories) {
    if (!is_part(history, kind)) continue;
    found.bytes += memory::predictor_memory(history_options(config, model, rows, history));
  }
  for (std::size_t layer = 0; layer < model.table_blocks().size(); ++layer) {
    if (is_part(PredictorKind::kLookahead, kind)) {
      const auto options = lookahead_options(config, model, rows, config.tiers.lookahead_learns);
      for (std::size_t i = 0; i < config.tiers.lookahead_distances.size(); ++i) {
        found.bytes += memory::predictor_memory(options);
      }
    }
    if (is_part(PredictorKind::kNextBatch, kind)) {
      found.bytes += memory::predictor_memory(next_batch_options(config, model, rows, layer == 0));
    }
    // How hot each row is, for the scores.
    found.bytes += {.host_bytes = sizeof(std::uint32_t) * rows};
  }
  if (is_part(PredictorKind::kNextBatch, kind)) {
    found.branches = 2 * model.table_blocks().front() + 1;
  }
  return found;
}

}  // namespace mneme::engine
