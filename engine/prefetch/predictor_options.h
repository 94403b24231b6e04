// What the predictors of tiers.prefetch are made with, and what they take of memory.
#pragma once

#include <cstdint>

#include "engine/config.h"
#include "engine/model_options.h"
#include "memory/prediction/history_predictor.h"
#include "memory/prediction/lookahead_predictor.h"
#include "memory/prediction/predictor_memory.h"

namespace mneme::engine {

// Whether `kind` means this predictor, by itself or with others.
bool is_part(memory::PredictorKind part, memory::PredictorKind kind);
memory::HistoryPredictorOptions history_options(const Config& config, const ModelOptions& model,
                                                std::uint64_t table_rows,
                                                memory::PredictorKind kind);
// Of a search that looks ahead to a memory layer; learns: a map from states to its queries.
memory::LookaheadOptions lookahead_options(const Config& config, const ModelOptions& model,
                                           std::uint64_t table_rows, bool learns);
// Of next-batch, to the first memory layer and to later ones.
memory::LookaheadOptions next_batch_options(const Config& config, const ModelOptions& model,
                                            std::uint64_t table_rows, bool is_first);

struct PrefetchMemory {
  memory::PredictorMemory bytes;
  // Of next-batch: branches of the first blocks (an attention or what follows it) whose activations
  // it has once more; not in `bytes`.
  std::int64_t branches = 0;
};
// From the configuration alone. REQUIRES one that check_config accepts.
PrefetchMemory prefetch_memory(const Config& config);

}  // namespace mneme::engine
