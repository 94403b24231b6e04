#include "memory/prediction/history_predictor.h"

#include <algorithm>

namespace mneme::memory {
namespace {

// Contexts of a history: 256 bytes' pairs have numbers of their own.
constexpr std::uint32_t kContexts = 1u << 18;
// Tokens that a history knows of a context.
constexpr int kDepth = 8;

// 0 where it is none.
int context_length(PredictorKind kind) {
  switch (kind) {
    case PredictorKind::kTokenHistory:
      return 1;
    case PredictorKind::kBigramHistory:
      return 2;
    case PredictorKind::kTrigramHistory:
      return 3;
    default:
      return 0;
  }
}

}  // namespace

bool is_history(PredictorKind kind) {
  return context_length(kind) > 0;
}

HistoryPredictorOptions history_options(PredictorKind kind, const HistoryNeeds& needs) {
  const std::uint64_t token_bytes =
      static_cast<std::uint64_t>(needs.lookups_per_token) * sizeof(kernels::RowId) * needs.layers;
  const auto affordable = static_cast<std::int64_t>(needs.bytes / token_bytes);
  return {.layers = needs.layers,
          .history = {.tokens = needs.tokens,
                      .lookups_per_token = needs.lookups_per_token,
                      .ring_tokens = std::max(needs.tokens, affordable),
                      .contexts = kContexts,
                      .depth = kDepth},
          .table_rows = needs.table_rows,
          .context_length = context_length(kind),
          .sequence = needs.sequence};
}

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
