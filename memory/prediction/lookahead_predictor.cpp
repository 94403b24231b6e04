#include "memory/prediction/lookahead_predictor.h"

#include <algorithm>

namespace mneme::memory {

LookaheadPredictor::LookaheadPredictor(kernels::Backend& backend, const LookaheadOptions& options)
    : backend_(backend),
      options_(options),
      search_(backend, options.search),
      votes_(backend, options.search.tokens, options.search.lookups(), options.table_rows,
             options.search.knn),
      normed_(backend, options.search.tokens * options.width),
      inverse_(backend, options.search.tokens),
      queries_(backend, options.search.tokens * options.search.query_width()) {
  if (options.learns) map_.emplace(backend, options.width, options.search.query_width());
}

void LookaheadPredictor::normalise(kernels::Stream& stream, const KeySide& target,
                                   const float* state, std::int64_t tokens) {
  backend_.norm(stream, {.x = state,
                         .gain = target.norm_gain,
                         .out = normed_.data(),
                         .inverse = inverse_.data(),
                         .rows = tokens,
                         .width = options_.width,
                         .epsilon = static_cast<float>(options_.norm_epsilon)});
}

void LookaheadPredictor::predict(kernels::Stream& stream, const KeySide& target, const float* state,
                                 std::int64_t tokens, const std::vector<std::int32_t>* chosen) {
  if (chosen != nullptr) {
    if (chosen_.count() == 0) {
      chosen_ = kernels::pinned_array<std::int32_t>(backend_, options_.search.tokens);
      chosen_state_ = {backend_, options_.search.tokens * options_.width};
    }
    std::copy(chosen->begin(), chosen->end(), chosen_.data());
    backend_.embedding(stream, {.tokens = chosen_.data(),
                                .table = state,
                                .out = chosen_state_.data(),
                                .count = std::ssize(*chosen),
                                .width = options_.width,
                                .vocabulary = tokens});
    state = chosen_state_.data();
    tokens = std::ssize(*chosen);
  }
  normalise(stream, target, state, tokens);
  const bool maps = map_ && map_->is_known();
  const std::int64_t query_width = options_.search.query_width();
  // In float32, whatever the compute type: the map is, too.
  backend_.matmul(stream, {.a = normed_.data(),
                           .b = maps ? map_->weight() : target.keys.query_weight,
                           .c = queries_.data(),
                           .m = tokens,
                           .n = query_width,
                           .k = options_.width,
                           .lda = options_.width,
                           .ldb = options_.width,
                           .ldc = query_width,
                           .transpose_b = true});
  backend_.add_bias(stream, {.x = queries_.data(),
                             .bias = maps ? map_->bias() : target.keys.query_bias,
                             .rows = tokens,
                             .width = query_width});
  search_.search(stream, queries_.data(), target.keys.search_keys(), tokens);
  votes_.count(stream, search_.rows(), tokens);
}

void LookaheadPredictor::observe(kernels::Stream& stream, const KeySide& target, const float* state,
                                 const float* queries, std::int64_t tokens, std::uint64_t turn) {
  if (!map_) return;
  const std::int64_t count = std::min(options_.observed_tokens, tokens);
  // Stretches that take turns, the last of them as long as the others.
  const std::int64_t stretches = (tokens + count - 1) / count;
  const auto stretch = static_cast<std::int64_t>(turn % static_cast<std::uint64_t>(stretches));
  const std::int64_t first = std::min(stretch * count, tokens - count);
  normalise(stream, target, state + first * options_.width, count);
  map_->observe(stream, normed_.data(), queries + first * options_.search.query_width(), count);
}

}  // namespace mneme::memory
