#include "engine/prefetch/lookahead_rows.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/prefetch/predictor_options.h"

namespace mneme::engine {

LookaheadRows::LookaheadRows(Run& run, kernels::Stream& side, std::int64_t distance, bool learns)
    : RowPredictor(run.model().options().table_blocks().size()),
      run_(run),
      side_(side),
      distance_(distance),
      learns_(learns),
      seen_(run.backend().create_event()),
      share_(run.config().tiers.lookahead_share),
      novelty_(run.config().train.sequence) {
  for (const std::int64_t block : run.model().options().table_blocks()) {
    layers_.push_back(
        {.block = block,
         .from = static_cast<std::size_t>(2 * std::max<std::int64_t>(0, block - distance)),
         .predictor = std::make_unique<memory::LookaheadPredictor>(
             run.backend(), lookahead_options(run.config(), run.model().options(),
                                              run.table()->options().rows, learns))});
  }
}

NamedMaps LookaheadRows::maps() {
  NamedMaps maps;
  for (const Layer& layer : layers_) {
    if (!learns_) continue;
    maps.emplace_back(fmt::format("lookahead.{}.layers.{}", distance_, layer.block),
                      &layer.predictor->map());
  }
  return maps;
}

void LookaheadRows::begin(std::uint64_t step, const Batch& batch) {
  step_ = step;
  if (share_ >= 1) return;
  const auto count = static_cast<std::size_t>(share_ * static_cast<double>(batch.tokens.size()));
  chosen_ = novelty_.take(batch.tokens, std::max<std::size_t>(1, count));
}

void LookaheadRows::before_branch(std::size_t branch, const float* state, std::int64_t tokens,
                                  kernels::Stream& stream) {
  for (Layer& layer : layers_) {
    if (layer.from != branch) continue;
    layer.state = state;
    stream.record(*seen_);
    side_.wait(*seen_);
    layer.predictor->predict(side_, run_.model().key_side(layer.block), state, tokens,
                             share_ < 1 ? &chosen_ : nullptr);
  }
}

memory::PredictedRows LookaheadRows::of_micro_batch(std::size_t layer) {
  const memory::RowVotes::Counted counted = layers_[layer].predictor->await();
  ranking(layer).add(counted.rows, counted.votes);
  return ranking(layer).rank(counted.rows, counted.votes);
}

void LookaheadRows::after_memory(std::size_t layer, const memory::TableLayer& memory,
                                 const Batch& batch, kernels::Stream& stream) {
  if (!learns_) return;
  Layer& one = layers_[layer];
  stream.record(*seen_);
  side_.wait(*seen_);
  one.predictor->observe(side_, run_.model().key_side(one.block), one.state, memory.queries(),
                         static_cast<std::int64_t>(batch.tokens.size()), step_);
}

void LookaheadRows::end_forward() {
  if (!learns_) return;
  for (Layer& layer : layers_) layer.predictor->map().refit(side_);
}

}  // namespace mneme::engine
