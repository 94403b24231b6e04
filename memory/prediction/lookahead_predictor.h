// Predicts the rows that a memory layer will read from the residual stream some blocks before it:
// the layer's search, for queries that are made of that earlier state, by the layer's own norm and
// projection or by a learned map (query_map.h).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "memory/key_search.h"
#include "memory/prediction/query_map.h"
#include "memory/prediction/row_votes.h"
#include "memory/prediction/vote_ranking.h"
#include "memory/product_keys.h"

namespace mneme::memory {

struct LookaheadOptions {
  std::int64_t width = 0;   // C
  KeySearchOptions search;  // of the layer
  double norm_epsilon = 0;  // of the norm in front of it
  std::uint64_t table_rows = 0;
  bool learns = true;  // a map; else the layer's own projection is used
  // Of each micro-batch, how many tokens' pairs of state and query the map learns from.
  std::int64_t observed_tokens = 256;
};

class LookaheadPredictor {
 public:
  // Allocates what a search takes, without its backward half. The backend must outlive it.
  LookaheadPredictor(kernels::Backend& backend, const LookaheadOptions& options);

  // Queues the search. target: of the layer that is looked ahead to. state: device, [tokens, C],
  // float32. One predict() at a time: the next one after await(). With `chosen`, only for the
  // tokens of these indices, unchanged until await().
  void predict(kernels::Stream& stream, const KeySide& target, const float* state,
               std::int64_t tokens, const std::vector<std::int32_t>* chosen = nullptr);
  // Waits for it: the rows and their votes, until the next predict().
  RowVotes::Counted await() { return votes_.await(); }

  bool learns() const { return map_.has_value(); }
  // What the layer made of the same tokens in the end, for the map. state as above; queries:
  // device, [tokens, H * d_k]. turn: which of the tokens are taken goes by it.
  void observe(kernels::Stream& stream, const KeySide& target, const float* state,
               const float* queries, std::int64_t tokens, std::uint64_t turn);
  // REQUIRES: learns().
  QueryMap& map() { return *map_; }

 private:
  // The norm in front of the layer.
  void normalise(kernels::Stream& stream, const KeySide& target, const float* state,
                 std::int64_t tokens);

  kernels::Backend& backend_;
  LookaheadOptions options_;
  std::optional<QueryMap> map_;
  KeySearch search_;
  RowVotes votes_;
  kernels::DeviceArray<std::int32_t> chosen_;  // [tokens], pinned host; made when it is needed
  kernels::DeviceArray<float> chosen_state_;   // [tokens, C]; likewise
  kernels::DeviceArray<float> normed_;         // [tokens, C]
  kernels::DeviceArray<float> inverse_;        // [tokens]
  kernels::DeviceArray<float> queries_;        // [tokens, H * d_k]
};

}  // namespace mneme::memory
