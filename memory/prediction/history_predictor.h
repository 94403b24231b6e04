// Predicts the rows of a coming batch from what its tokens read lately: each context in it votes
// for the rows that the newest tokens of that context have read, layer by layer. Rows with more
// votes are more likely (vote_ranking.h).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "memory/prediction/predictor_kind.h"
#include "memory/prediction/row_history.h"
#include "memory/prediction/row_votes.h"

namespace mneme::memory {

struct HistoryPredictorOptions {
  std::size_t layers = 1;
  RowHistoryShape history;  // of each layer
  std::uint64_t table_rows = 0;
  int context_length = 1;     // tokens of a context
  std::int64_t sequence = 0;  // tokens of a sequence
};

inline constexpr std::array kHistories = {
    PredictorKind::kTokenHistory, PredictorKind::kBigramHistory, PredictorKind::kTrigramHistory};
bool is_history(PredictorKind kind);
// What a history of this kind takes for micro-batches of `tokens`, with device memory of `bytes`
// for all layers; at least what one micro-batch needs. REQUIRES: is_history(kind).
struct HistoryNeeds {
  std::size_t layers = 1;
  std::int64_t tokens = 0, lookups_per_token = 0, sequence = 0;
  std::uint64_t table_rows = 0, bytes = 0;
};
HistoryPredictorOptions history_options(PredictorKind kind, const HistoryNeeds& needs);

class HistoryPredictor {
 public:
  HistoryPredictor(kernels::Backend& backend, const HistoryPredictorOptions& options);

  // What a layer has read for the tokens of a micro-batch, as work that is queued on the stream
  // leaves it. rows: device, [tokens, lookups]; tokens: whole sequences.
  void remember(kernels::Stream& stream, std::size_t layer, const kernels::RowId* rows,
                std::span<const std::int32_t> tokens);
  // The rows that the tokens of a coming micro-batch vote for, until the next call. Waits for the
  // stream.
  RowVotes::Counted predict(kernels::Stream& stream, std::size_t layer,
                            std::span<const std::int32_t> tokens);

 private:
  std::span<const std::uint32_t> contexts(std::span<const std::int32_t> tokens);

  HistoryPredictorOptions options_;
  RowVotes votes_;
  kernels::DeviceArray<kernels::RowId> candidates_;  // [recalled, lookups]
  std::vector<RowHistory> histories_;                // of each layer
  std::vector<std::uint32_t> contexts_, distinct_;
};

}  // namespace mneme::memory
