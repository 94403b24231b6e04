#include "engine/prefetch/next_batch_rows.h"

#include <fmt/format.h>

#include "engine/prefetch/predictor_options.h"

namespace mneme::engine {
namespace {

std::size_t first_memory_branch(Run& run) {
  return static_cast<std::size_t>(2 * run.model().options().table_blocks().front() + 1);
}

}  // namespace

NextBatchRows::NextBatchRows(Run& run, kernels::Stream& side)
    : RowPredictor(run.model().options().table_blocks().size()),
      run_(run),
      side_(side),
      from_(first_memory_branch(run)),
      blocks_(run.backend(), run.model().options(), run.model().parameters(), nullptr, from_),
      staging_(run.backend(), run.model().options().tokens(), run.model().options().vocabulary),
      seen_(run.backend().create_event()) {
  for (const std::int64_t block : run.model().options().table_blocks()) {
    const memory::LookaheadOptions options = next_batch_options(
        run.config(), run.model().options(), run.table()->options().rows, layers_.empty());
    layers_.push_back(
        {.block = block,
         .predictor = std::make_unique<memory::LookaheadPredictor>(run.backend(), options)});
  }
}

NamedMaps NextBatchRows::maps() {
  NamedMaps maps;
  for (const Layer& layer : layers_) {
    if (!layer.predictor->learns()) continue;
    maps.emplace_back(fmt::format("next-batch.layers.{}", layer.block), &layer.predictor->map());
  }
  return maps;
}

void NextBatchRows::begin(std::uint64_t step, const Batch&) {
  step_ = step;
}

void NextBatchRows::before_branch(std::size_t branch, const float* state, std::int64_t,
                                  kernels::Stream&) {
  if (branch == from_) state_ = state;
}

void NextBatchRows::after_memory(std::size_t layer, const memory::TableLayer& memory,
                                 const Batch& batch, kernels::Stream& stream) {
  if (layer == 0) return;
  stream.record(*seen_);
  side_.wait(*seen_);
  layers_[layer].predictor->observe(side_, run_.model().key_side(layers_[layer].block), state_,
                                    memory.queries(),
                                    static_cast<std::int64_t>(batch.tokens.size()), step_);
}

void NextBatchRows::end_forward() {
  for (std::size_t layer = 1; layer < layers_.size(); ++layer) {
    layers_[layer].predictor->map().refit(side_);
  }
}

void NextBatchRows::predict(const Batch& next) {
  const Config& config = run_.config();
  PartCall call = blocks_.call(side_, config.train.batch, config.train.sequence);
  call.training = true;
  staging_.stage(side_, {.tokens = next.tokens, .first_keys = next.first_keys});
  call.first_keys = staging_.first_keys();
  run_.backend().embedding(side_,
                           {.tokens = staging_.tokens(),
                            .table = run_.model().parameters().value("tok_embeddings.weight"),
                            .out = blocks_.state(0),
                            .count = call.tokens(),
                            .width = run_.model().options().width,
                            .vocabulary = run_.model().options().vocabulary});
  blocks_.forward(call);
  for (Layer& layer : layers_) {
    layer.predictor->predict(side_, run_.model().key_side(layer.block), blocks_.state(from_),
                             call.tokens());
  }
  for (std::size_t layer = 0; layer < layers(); ++layer) {
    const memory::RowVotes::Counted counted = layers_[layer].predictor->await();
    ranking(layer).add(counted.rows, counted.votes);
  }
}

}  // namespace mneme::engine
