#include "memory/prediction/history_predictor.h"

#include <algorithm>
#include <utility>

namespace mneme::memory {

HistoryPredictor::HistoryPredictor(kernels::Backend& backend,
                                   const HistoryPredictorOptions& options)
    : options_(options),
      votes_(backend, options.history.recalled(), options.history.lookups_per_token,
             options.table_rows) {
  layers_.reserve(options.layers);
  for (std::size_t i = 0; i < options.layers; ++i) layers_.emplace_back(backend, options.history);
}

std::span<const std::uint32_t> HistoryPredictor::contexts(std::span<const std::int32_t> tokens) {
  contexts_.resize(tokens.size());
  contexts_of(tokens, options_.sequence, options_.context_length, options_.history.contexts,
              contexts_);
  return contexts_;
}

void HistoryPredictor::remember(kernels::Stream& stream, std::size_t layer,
                                const kernels::RowId* rows, std::span<const std::int32_t> tokens) {
  layers_[layer].history.remember(stream, rows, contexts(tokens));
}

void HistoryPredictor::predict(kernels::Stream& stream, std::size_t layer,
                               std::span<const std::int32_t> tokens) {
  const std::span<const std::uint32_t> all_contexts = contexts(tokens);
  distinct_.assign(all_contexts.begin(), all_contexts.end());
  std::sort(distinct_.begin(), distinct_.end());
  distinct_.erase(std::unique(distinct_.begin(), distinct_.end()), distinct_.end());
  const std::int64_t known = layers_[layer].history.recall(stream, distinct_, votes_.candidates());
  votes_.count(stream, known);
  std::vector<PredictedRow>& before = layers_[layer].predicted;
  std::vector<PredictedRow> all;
  all.reserve(before.size() + votes_.rows().size());
  auto old = before.begin();
  for (std::size_t i = 0; i < votes_.rows().size(); ++i) {
    const kernels::RowId row = votes_.rows()[i];
    while (old != before.end() && old->row < row) all.push_back(*old++);
    std::uint32_t votes = votes_.votes(i);
    if (old != before.end() && old->row == row) votes += (old++)->votes;
    all.push_back({.row = row, .votes = votes});
  }
  all.insert(all.end(), old, before.end());
  before = std::move(all);
}

std::vector<PredictedRow> HistoryPredictor::take(std::size_t layer) {
  std::vector<PredictedRow> rows = std::exchange(layers_[layer].predicted, {});
  for (PredictedRow& row : rows) row.confidence = layers_[layer].calibration.confidence(row.votes);
  std::stable_sort(rows.begin(), rows.end(), [](const PredictedRow& a, const PredictedRow& b) {
    return a.confidence > b.confidence;
  });
  return rows;
}

void HistoryPredictor::learn(std::size_t layer, std::span<const PredictedRow> predicted,
                             std::span<const kernels::RowId> read) {
  Calibration::Outcome outcome;
  for (const PredictedRow& row : predicted) {
    const std::size_t bucket = Calibration::bucket_of(row.votes);
    ++outcome.predicted[bucket];
    if (std::binary_search(read.begin(), read.end(), row.row)) ++outcome.read[bucket];
  }
  layers_[layer].calibration.learn(outcome);
}

}  // namespace mneme::memory
