#include "engine/row_prefetch.h"

#include <algorithm>
#include <map>

#include "io/check.h"

namespace mneme::engine {

using kernels::RowId;
using memory::PredictedRow;
using memory::PredictorKind;

namespace {

// Contexts of a history: 256 bytes' pairs have numbers of their own.
constexpr std::uint32_t kContexts = 1u << 18;
// Tokens that a history knows of a context.
constexpr int kDepth = 8;
// A row that is likelier not to be read is not brought: what it takes the place of is as likely.
constexpr double kLeastConfidence = 0.5;

std::vector<PredictorKind> histories_of(PredictorKind kind) {
  switch (kind) {
    case PredictorKind::kTokenHistory:
    case PredictorKind::kBigramHistory:
    case PredictorKind::kTrigramHistory:
      return {kind};
    case PredictorKind::kUnion:
      return {PredictorKind::kTokenHistory, PredictorKind::kBigramHistory,
              PredictorKind::kTrigramHistory};
    case PredictorKind::kNone:
    case PredictorKind::kNextBatch:
    case PredictorKind::kOracleNextStep:
      break;
  }
  return {};
}

int context_length(PredictorKind kind) {
  return kind == PredictorKind::kTokenHistory ? 1 : kind == PredictorKind::kBigramHistory ? 2 : 3;
}

std::vector<RowId> rows_of(const std::vector<PredictedRow>& predicted) {
  std::vector<RowId> rows;
  rows.reserve(predicted.size());
  for (const PredictedRow& row : predicted) rows.push_back(row.row);
  return rows;
}

// Each row once; predictors err by themselves: a row is read unless all of them are wrong.
std::vector<PredictedRow> union_of(const std::vector<std::vector<PredictedRow>>& lists) {
  std::vector<PredictedRow> all;
  for (const auto& list : lists) all.insert(all.end(), list.begin(), list.end());
  std::sort(all.begin(), all.end(), [](const PredictedRow& a, const PredictedRow& b) {
    return a.row != b.row ? a.row < b.row : a.confidence > b.confidence;
  });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (kept > 0 && all[kept - 1].row == all[i].row) {
      double& confidence = all[kept - 1].confidence;
      confidence = 1 - (1 - confidence) * (1 - all[i].confidence);
    } else {
      all[kept++] = all[i];
    }
  }
  all.resize(kept);
  std::stable_sort(all.begin(), all.end(), [](const PredictedRow& a, const PredictedRow& b) {
    return a.confidence > b.confidence;
  });
  return all;
}

}  // namespace

// What is known of one layer, between its forward pass of a step and that of the next.
struct RowPrefetch::Layer {
  Layer(std::int32_t block_number, std::uint64_t table_rows, std::size_t predictors)
      : block(block_number), hot(table_rows), predicted(predictors), scores(predictors + 1) {}

  std::int32_t block;
  memory::HotRows hot;
  // Distinct rows of the step's micro-batches, in pinned host memory once the stream was there.
  kernels::DeviceArray<RowId> read;
  std::vector<std::int64_t> counts;  // of each micro-batch
  // By predictor, the most confident first; all of them together; and what of that was hinted.
  std::vector<std::vector<PredictedRow>> predicted;
  std::vector<RowId> ranked, hinted;
  std::vector<memory::PredictionScore> scores;  // the last one of all together
};

RowPrefetch::RowPrefetch(const Config& config, const Data& data, Run& run)
    : config_(config), data_(data), run_(run) {
  if (!is_on()) return;
  if (!histories_of(config_.tiers.prefetch).empty()) {
    open_histories();
    return;
  }
  const std::int64_t lookups =
      config_.tokens_per_micro_batch() * config_.memory.heads * config_.memory.knn;
  pinned_ = run_.backend().allocate(static_cast<std::size_t>(lookups) * sizeof(RowId),
                                    kernels::MemoryKind::kPinnedHost);
}

RowPrefetch::~RowPrefetch() = default;

bool RowPrefetch::is_on() const {
  return run_.table() != nullptr && config_.tiers.prefetch != PredictorKind::kNone;
}

void RowPrefetch::open_histories() {
  kernels::Backend& backend = run_.backend();
  const std::vector<PredictorKind> kinds = histories_of(config_.tiers.prefetch);
  const std::vector<std::int64_t>& blocks = run_.model().options().memory_blocks;
  const std::int64_t tokens = config_.tokens_per_micro_batch();
  const std::int64_t lookups = config_.memory.heads * config_.memory.knn;
  // The bytes are shared by the layers and predictors; of a batch that is larger they are more.
  const auto histories = static_cast<std::int64_t>(kinds.size() * blocks.size());
  const std::int64_t affordable = static_cast<std::int64_t>(config_.tiers.prefetch_history_bytes) /
                                  (lookups * static_cast<std::int64_t>(sizeof(RowId)) * histories);
  for (const PredictorKind kind : kinds) {
    predictors_.push_back(std::make_unique<memory::HistoryPredictor>(
        backend,
        memory::HistoryPredictorOptions{.layers = blocks.size(),
                                        .history = {.tokens = tokens,
                                                    .lookups_per_token = lookups,
                                                    .ring_tokens = std::max(tokens, affordable),
                                                    .contexts = kContexts,
                                                    .depth = kDepth},
                                        .table_rows = run_.table()->options().rows,
                                        .context_length = context_length(kind),
                                        .sequence = config_.train.sequence}));
  }
  layers_.reserve(blocks.size());
  for (const std::int64_t block : blocks) {
    Layer& layer = layers_.emplace_back(static_cast<std::int32_t>(block),
                                        run_.table()->options().rows, kinds.size());
    layer.read =
        kernels::pinned_array<RowId>(backend, tokens * lookups * config_.train.micro_batches);
  }
  stream_ = backend.create_stream();
  remembered_ = backend.create_event();
}

void RowPrefetch::begin(std::uint64_t step, std::int64_t micro, const Batch& batch) {
  if (micro == 0) {
    for (Layer& layer : layers_) layer.counts.clear();
  }
  step_ = step;
  micro_ = micro;
  current_ = &batch;
}

void RowPrefetch::after_memory(std::int64_t block, const memory::MemoryLayer& layer,
                               kernels::Stream& stream) {
  const auto found = std::find_if(layers_.begin(), layers_.end(),
                                  [block](const Layer& one) { return one.block == block; });
  CHECK(found != layers_.end());
  const auto index = static_cast<std::size_t>(found - layers_.begin());
  // The histories of the side stream have been read by then: the call before has waited for it.
  for (const auto& predictor : predictors_) {
    predictor->remember(stream, index, layer.rows(), current_->tokens);
  }
  const memory::DistinctRows distinct = layer.distinct_rows();
  const std::int64_t count = distinct.count();
  std::int64_t before = 0;
  for (const std::int64_t one : found->counts) before += one;
  run_.backend().copy(stream, found->read.data() + before, distinct.rows,
                      kernels::DeviceArray<RowId>::bytes(count));
  found->counts.push_back(count);
}

void RowPrefetch::after_forward(kernels::Stream& stream) {
  if (micro_ + 1 < config_.train.micro_batches) return;
  stream.record(*remembered_);
  stream_->wait(*remembered_);
  stream_->synchronize();
  score_step();
  predict_next();
}

void RowPrefetch::score_step() {
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    Layer& layer = layers_[l];
    std::int64_t count = 0;
    for (const std::int64_t one : layer.counts) count += one;
    std::vector<RowId> read(layer.read.data(), layer.read.data() + count);
    if (layer.counts.size() > 1) {
      std::sort(read.begin(), read.end());
      read.erase(std::unique(read.begin(), read.end()), read.end());
    }
    if (predicted_step_ == step_) {
      for (std::size_t p = 0; p < predictors_.size(); ++p) {
        predictors_[p]->learn(l, layer.predicted[p], read);
        layer.scores[p] += memory::score_of(rows_of(layer.predicted[p]), read, layer.hot);
      }
      layer.scores.back() += memory::score_of(layer.ranked, read, layer.hot);
    }
    layer.hot.add(read);
  }
}

void RowPrefetch::predict_next() {
  predicted_step_ = 0;
  if (step_ >= static_cast<std::uint64_t>(config_.train.steps)) return;
  predicted_step_ = step_ + 1;
  for (std::int64_t micro = 0; micro < config_.train.micro_batches; ++micro) {
    data_.train_batch(predicted_step_, micro, batch_);
    for (const auto& predictor : predictors_) {
      for (std::size_t l = 0; l < layers_.size(); ++l) {
        predictor->predict(*stream_, l, batch_.tokens);
      }
    }
  }
  std::uint64_t budget = config_.tiers.prefetch_bytes;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    Layer& layer = layers_[l];
    for (std::size_t p = 0; p < predictors_.size(); ++p) {
      layer.predicted[p] = predictors_[p]->take(l);
    }
    const std::vector<PredictedRow> ranked =
        predictors_.size() == 1 ? layer.predicted[0] : union_of(layer.predicted);
    layer.ranked = rows_of(ranked);
    const auto doubtful = std::find_if(ranked.begin(), ranked.end(), [](const PredictedRow& row) {
      return row.confidence < kLeastConfidence;
    });
    layer.hinted.assign(layer.ranked.begin(), layer.ranked.begin() + (doubtful - ranked.begin()));
    const std::uint64_t share = budget / (layers_.size() - l);
    budget -= share;
    run_.table()->store().hint({.rows = layer.hinted,
                                .byte_budget = share,
                                .tier = kernels::Place::kHost,
                                .layer = layer.block});
  }
}

void RowPrefetch::hint(std::uint64_t next_step) {
  if (!is_on() || next_step > static_cast<std::uint64_t>(config_.train.steps)) return;
  if (!observes()) hint_exactly(next_step);
  if (config_.tiers.prefetch_device_bytes == 0) return;
  std::uint64_t budget = config_.tiers.prefetch_device_bytes;
  if (!observes()) {
    run_.table()->store().hint(
        {.rows = rows_, .byte_budget = budget, .tier = kernels::Place::kDevice});
    return;
  }
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const std::uint64_t share = budget / (layers_.size() - l);
    budget -= share;
    run_.table()->store().hint({.rows = layers_[l].hinted,
                                .byte_budget = share,
                                .tier = kernels::Place::kDevice,
                                .layer = layers_[l].block});
  }
}

// The weights are those before the step, so that every row that is found is one that it reads.
void RowPrefetch::hint_exactly(std::uint64_t next_step) {
  const bool all = config_.tiers.prefetch == PredictorKind::kOracleNextStep;
  run_.table()->begin_evaluation(next_step - 1, offload::Cause::kPrefetch);
  rows_.clear();
  kernels::Stream& stream = run_.stream();
  // The model's own list: of any other block there is no memory layer to ask.
  std::vector<std::int64_t> blocks = run_.model().options().memory_blocks;
  if (!all) blocks.resize(1);
  for (std::int64_t micro = 0; micro < config_.train.micro_batches; ++micro) {
    data_.train_batch(next_step, micro, batch_);
    const MicroBatch micro_batch{.tokens = batch_.tokens,
                                 .targets = batch_.targets,
                                 .batch = config_.train.batch,
                                 .sequence = config_.train.sequence};
    if (all) {
      run_.model().evaluate(stream, micro_batch);
    } else {
      run_.model().find_rows(stream, micro_batch, blocks[0]);
    }
    for (const std::int64_t block : blocks) {
      run_.backend().copy(stream, pinned_.as<void>(), run_.model().memory_layer(block)->rows(),
                          pinned_.bytes());
      stream.synchronize();
      const auto* rows = pinned_.as<RowId>();
      rows_.insert(rows_.end(), rows, rows + pinned_.bytes() / sizeof(RowId));
    }
  }
  std::sort(rows_.begin(), rows_.end());
  rows_.erase(std::unique(rows_.begin(), rows_.end()), rows_.end());
  run_.table()->store().hint({.rows = rows_, .byte_budget = config_.tiers.prefetch_bytes});
}

std::vector<PredictionMetrics> RowPrefetch::take_scores() {
  std::vector<PredictionMetrics> metrics;
  const std::vector<PredictorKind> kinds = histories_of(config_.tiers.prefetch);
  for (Layer& layer : layers_) {
    for (std::size_t p = 0; p < layer.scores.size(); ++p) {
      // Of one predictor the union is what that says.
      if (p == kinds.size() && kinds.size() == 1) continue;
      const memory::PredictionScore score = std::exchange(layer.scores[p], {});
      if (score.steps == 0) continue;
      metrics.push_back({p < kinds.size() ? kinds[p] : PredictorKind::kUnion, layer.block, score});
    }
  }
  return metrics;
}

}  // namespace mneme::engine
