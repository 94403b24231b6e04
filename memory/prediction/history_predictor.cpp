#include "memory/prediction/history_predictor.h"

#include <algorithm>

namespace mneme::memory {

HistoryPredictor::HistoryPredictor(kernels::Backend& backend,
                                   const HistoryPredictorOptions& options)
    : options_(options),
      votes_(backend, options.history.recalled(), options.history.lookups_per_token,
             options.table_rows),
      candidates_(backend, options.history.recalled() * options.history.lookups_per_token) {
  histories_.reserve(options.layers);
  for (std::size_t i = 0; i < options.layers; ++i) {
    histories_.emplace_back(backend, options.history);
  }
}

std::span<const std::uint32_t> HistoryPredictor::contexts(std::span<const std::int32_t> tokens) {
  contexts_.resize(tokens.size());
  contexts_of(tokens, options_.sequence, options_.context_length, options_.history.contexts,
              contexts_);
  return contexts_;
}

void HistoryPredictor::remember(kernels::Stream& stream, std::size_t layer,
                                const kernels::RowId* rows, std::span<const std::int32_t> tokens) {
  histories_[layer].remember(stream, rows, contexts(tokens));
}

RowVotes::Counted HistoryPredictor::predict(kernels::Stream& stream, std::size_t layer,
                                            std::span<const std::int32_t> tokens) {
  const std::span<const std::uint32_t> all_contexts = contexts(tokens);
  distinct_.assign(all_contexts.begin(), all_contexts.end());
  std::sort(distinct_.begin(), distinct_.end());
  distinct_.erase(std::unique(distinct_.begin(), distinct_.end()), distinct_.end());
  const std::int64_t known = histories_[layer].recall(stream, distinct_, candidates_.data());
  votes_.count(stream, candidates_.data(), known);
  return votes_.await();
}

}  // namespace mneme::memory
