#include "engine/prefetch/row_prefetch.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "engine/prefetch/history_rows.h"
#include "engine/prefetch/lookahead_rows.h"
#include "engine/prefetch/next_batch_rows.h"
#include "io/check.h"

namespace mneme::engine {

using kernels::Place;
using kernels::RowId;
using memory::PredictedRow;
using memory::PredictedRows;
using memory::PredictorKind;

namespace {

// Rows on the device that are at least as likely to be read do not make room for others.
constexpr float kLikely = 0.5f;

bool is_part(PredictorKind part, PredictorKind of) {
  if (of == PredictorKind::kAuto) {
    return part == PredictorKind::kTrigramHistory || part == PredictorKind::kLookahead ||
           part == PredictorKind::kNextBatch;
  }
  return part == of || of == PredictorKind::kUnion;
}

}  // namespace

// Rows of a layer that are predicted for a step or micro-batch, by what is to become of them.
struct RowPrefetch::Choice {
  // That are not on the device: in the host tier, on disk; and how likely such rows are read.
  std::array<PredictedRows, 2> absent;
  std::array<memory::UnionCalibration, 2> calibrations;
  std::vector<RowId> to_device, to_host;  // hinted

  void learn(std::span<const RowId> read) {
    for (std::size_t i = 0; i < absent.size(); ++i) calibrations[i].learn(absent[i], read);
    forget();
  }
  void forget() {
    for (PredictedRows& rows : absent) rows.clear();
    to_device.clear();
    to_host.clear();
  }
};

// What is known of one layer, between its forward pass of a step and that of the next.
struct RowPrefetch::Layer {
  Layer(std::int64_t block_number, std::uint64_t table_rows, std::size_t predictors)
      : block(block_number), hot(table_rows), predicted(predictors), scores(predictors + 1) {}

  std::int64_t block;
  memory::HotRows hot;
  // Distinct rows of the step's micro-batches, in pinned host memory once the stream was there.
  kernels::DeviceArray<RowId> read;
  std::vector<std::int64_t> counts;  // of each micro-batch
  // Of the next step, by those predictors that look a step ahead; and together.
  std::vector<PredictedRows> predicted;
  PredictedRows ahead;
  memory::UnionCalibration ahead_calibration, together_calibration;
  Choice ahead_choice, running_choice;
  std::vector<memory::PredictionScore> scores;  // the last one of all together

  RowId* read_end() const {
    return read.data() + std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  }

  // Who predicted the step before need not predict the next one.
  void forget_ahead() {
    for (PredictedRows& rows : predicted) rows.clear();
    ahead.clear();
    ahead_choice.forget();
  }
};

RowPrefetch::RowPrefetch(const Config& config, const Data& data, Run& run)
    : config_(config), data_(data), run_(run) {
  if (!is_on()) return;
  if (config.tiers.prefetch != PredictorKind::kOracleNextStep) {
    open();
    return;
  }
  const std::int64_t lookups =
      config_.tokens_per_micro_batch() * config_.memory.heads * config_.memory.knn;
  pinned_ = run_.backend().allocate(static_cast<std::size_t>(lookups) * sizeof(RowId),
                                    kernels::MemoryKind::kPinnedHost);
}

RowPrefetch::~RowPrefetch() {
  if (side_ == nullptr) return;
  try {
    side_->synchronize();
  } catch (const std::exception&) {
    // Nobody is left to tell.
  }
}

bool RowPrefetch::is_on() const {
  return run_.table() != nullptr && config_.tiers.prefetch != PredictorKind::kNone;
}

void RowPrefetch::open() {
  kernels::Backend& backend = run_.backend();
  side_ = backend.create_stream();
  seen_ = backend.create_event();
  side_done_ = backend.create_event();
  const PredictorKind kind = config_.tiers.prefetch;
  std::uint64_t history_bytes = config_.tiers.prefetch_history_bytes;
  if (kind == PredictorKind::kUnion) history_bytes /= 3;
  for (const PredictorKind history : {PredictorKind::kTokenHistory, PredictorKind::kBigramHistory,
                                      PredictorKind::kTrigramHistory}) {
    if (!is_part(history, kind)) continue;
    predictors_.push_back(std::make_unique<HistoryRows>(history, run_, *side_, history_bytes));
  }
  if (is_part(PredictorKind::kLookahead, kind)) {
    for (const std::int64_t distance : config_.tiers.lookahead_distances) {
      predictors_.push_back(
          std::make_unique<LookaheadRows>(run_, *side_, distance, config_.tiers.lookahead_learns));
    }
  }
  if (is_part(PredictorKind::kNextBatch, kind)) {
    predictors_.push_back(std::make_unique<NextBatchRows>(run_, *side_));
  }
  const std::int64_t lookups =
      config_.tokens_per_step() * config_.memory.heads * config_.memory.knn;
  const std::vector<std::int64_t>& blocks = run_.model().options().memory_blocks;
  layers_.reserve(blocks.size());
  for (const std::int64_t block : blocks) {
    Layer& layer = layers_.emplace_back(block, run_.table()->options().rows, predictors_.size());
    layer.read = kernels::pinned_array<RowId>(backend, lookups);
  }
  if (kind == PredictorKind::kAuto) {
    using enum PredictorKind;
    candidates_ = {{},
                   numbers_of({kNextBatch}),
                   numbers_of({kLookahead}),
                   numbers_of({kLookahead, kNextBatch}),
                   numbers_of({kTrigramHistory})};
    trial_.emplace(candidates_.size());
  } else {
    active_.resize(predictors_.size());
    std::iota(active_.begin(), active_.end(), std::size_t{0});
  }
}

RowPrefetch::Group RowPrefetch::numbers_of(std::initializer_list<PredictorKind> kinds) const {
  Group group;
  for (std::size_t p = 0; p < predictors_.size(); ++p) {
    const PredictorKind kind = predictors_[p]->kind();
    if (std::find(kinds.begin(), kinds.end(), kind) != kinds.end()) group.push_back(p);
  }
  return group;
}

std::string RowPrefetch::describe(const Group& group) const {
  std::string names, last;
  for (const std::size_t p : group) {
    const std::string name = io::name_of(predictors_[p]->kind());
    if (name != last) names += (names.empty() ? "" : " with ") + name;
    last = name;
  }
  return names;
}

void RowPrefetch::use(const Group& group) {
  if (group == active_) return;
  active_ = group;
  std::uint64_t kinds = 0;
  for (const std::size_t p : group) kinds |= std::uint64_t{1} << int(predictors_[p]->kind());
  offload::TraceWriter* const trace = run_.table()->store().trace();
  if (trace != nullptr) trace->add({.kind = offload::TraceKind::kPredictors, .number = kinds});
}

std::string RowPrefetch::end_step(double step_ms, double stall_ms) {
  if (!trial_) return {};
  trial_->note(step_ms, stall_ms);
  const std::optional<PrefetchDecision> decision = trial_->take_decision();
  if (!decision) return {};
  if (std::exchange(decided_, decision->candidate) == decision->candidate) return {};
  const Group& kept = candidates_[decision->candidate];
  if (kept.empty()) {
    return fmt::format("prefetch: no predictor pays ({:.1f} ms a step without)",
                       decision->ms_without);
  }
  return fmt::format("prefetch: {} pays, {:.1f} ms a step, {:.1f} without", describe(kept),
                     decision->ms, decision->ms_without);
}

NamedMaps RowPrefetch::maps() const {
  NamedMaps all;
  for (const auto& predictor : predictors_) {
    const NamedMaps maps = predictor->maps();
    all.insert(all.end(), maps.begin(), maps.end());
  }
  return all;
}

RowPrefetch::Layer& RowPrefetch::layer_of(std::int64_t block) {
  const auto found = std::find_if(layers_.begin(), layers_.end(),
                                  [block](const Layer& one) { return one.block == block; });
  CHECK(found != layers_.end());
  return *found;
}

void RowPrefetch::begin_budgets() {
  host_left_ = config_.tiers.prefetch_bytes;
  device_left_ = config_.tiers.prefetch_device_bytes;
}

void RowPrefetch::begin(std::uint64_t step, std::int64_t micro, const Batch& batch) {
  if (micro == 0) {
    for (Layer& layer : layers_) layer.counts.clear();
    if (predicted_step_ != step) begin_budgets();
    if (trial_) use(candidates_[trial_->current()]);
  } else {
    // What the side stream reads of the micro-batch before is about to be written over.
    side_->record(*side_done_);
    run_.stream().wait(*side_done_);
  }
  step_ = step;
  micro_ = micro;
  current_ = &batch;
  for (const std::size_t p : active_) predictors_[p]->begin(step, batch);
}

void RowPrefetch::before_branch(std::size_t branch, const float* state, kernels::Stream& stream) {
  const auto tokens = static_cast<std::int64_t>(current_->tokens.size());
  for (const std::size_t p : active_) {
    predictors_[p]->before_branch(branch, state, tokens, stream);
  }
  if (branch % 2 == 0) return;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    if (layers_[l].block != static_cast<std::int64_t>(branch / 2)) continue;
    std::vector<PredictedRows> lists;
    for (const std::size_t p : active_) {
      if (!looks_ahead(p)) lists.push_back(predictors_[p]->of_micro_batch(l));
    }
    if (lists.empty()) return;
    Choice& choice = layers_[l].running_choice;
    choose(memory::union_of(lists), choice);
    hint_rows(layers_[l], choice.to_host, Place::kHost, offload::HintStep::kRunning);
    hint_rows(layers_[l], choice.to_device, Place::kDevice, offload::HintStep::kRunning);
  }
}

void RowPrefetch::after_memory(std::int64_t block, const memory::MemoryLayer& memory,
                               kernels::Stream& stream) {
  if (active_.empty()) return;
  Layer& layer = layer_of(block);
  const auto index = static_cast<std::size_t>(&layer - layers_.data());
  for (const std::size_t p : active_) {
    predictors_[p]->after_memory(index, memory, *current_, stream);
  }
  const memory::DistinctRows distinct = memory.distinct_rows();
  const std::int64_t count = distinct.count();
  run_.backend().copy(stream, layer.read_end(), distinct.rows,
                      kernels::DeviceArray<RowId>::bytes(count));
  layer.counts.push_back(count);
  stream.record(*seen_);
}

void RowPrefetch::after_forward() {
  if (micro_ + 1 < config_.train.micro_batches) return;
  if (active_.empty()) {
    predicted_step_ = 0;
    return;
  }
  side_->wait(*seen_);
  side_->synchronize();
  score_step();
  for (const std::size_t p : active_) predictors_[p]->end_forward();
  predict_next();
}

std::vector<RowId> RowPrefetch::rows_read(const Layer& layer) const {
  std::vector<RowId> read(layer.read.data(), layer.read_end());
  if (layer.counts.size() > 1) {
    std::sort(read.begin(), read.end());
    read.erase(std::unique(read.begin(), read.end()), read.end());
  }
  return read;
}

void RowPrefetch::score_step() {
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    Layer& layer = layers_[l];
    const std::vector<RowId> read = rows_read(layer);
    std::vector<PredictedRows> lists(predictors_.size());
    for (const std::size_t p : active_) {
      if (looks_ahead(p) && predicted_step_ != step_) continue;
      lists[p] = looks_ahead(p) ? std::move(layer.predicted[p]) : predictors_[p]->take(l);
      predictors_[p]->learn(l, lists[p], read);
      layer.scores[p] += memory::score_of(lists[p], read, layer.hot);
    }
    if (active_.size() > 1 && predicted_step_ == step_) {
      PredictedRows together = memory::union_of(lists);
      layer.together_calibration.set_confidence(together);
      layer.together_calibration.learn(together, read);
      layer.scores.back() += memory::score_of(together, read, layer.hot);
    }
    if (predicted_step_ == step_) {
      layer.ahead_calibration.learn(layer.ahead, read);
      layer.ahead_choice.learn(read);
    }
    // It is of the last micro-batch alone.
    const std::int64_t last = layer.counts.back();
    layer.running_choice.learn({layer.read_end() - last, static_cast<std::size_t>(last)});
    layer.hot.add(read);
  }
}

void RowPrefetch::predict_next() {
  predicted_step_ = 0;
  if (step_ >= static_cast<std::uint64_t>(config_.train.steps)) return;
  predicted_step_ = step_ + 1;
  begin_budgets();
  for (Layer& layer : layers_) layer.forget_ahead();
  const bool any =
      std::any_of(active_.begin(), active_.end(), [this](std::size_t p) { return looks_ahead(p); });
  if (!any) return;
  for (std::int64_t micro = 0; micro < config_.train.micro_batches; ++micro) {
    data_.train_batch(predicted_step_, micro, batch_);
    for (const std::size_t p : active_) {
      if (looks_ahead(p)) predictors_[p]->predict(batch_);
    }
  }
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    Layer& layer = layers_[l];
    for (const std::size_t p : active_) {
      if (looks_ahead(p)) layer.predicted[p] = predictors_[p]->take(l);
    }
    layer.ahead = memory::union_of(layer.predicted);
    if (predictors_.size() > 1) layer.ahead_calibration.set_confidence(layer.ahead);
    choose(layer.ahead, layer.ahead_choice);
  }
  // A hint to the host tier waits for what is on its way between device and host.
  for (Layer& layer : layers_) {
    hint_rows(layer, layer.ahead_choice.to_host, Place::kHost, offload::HintStep::kNext);
  }
  for (Layer& layer : layers_) {
    hint_rows(layer, layer.ahead_choice.to_device, Place::kDevice, offload::HintStep::kNext);
  }
}

// How likely a row is read goes by where it is, too: what a tier has kept is what is read often.
void RowPrefetch::choose(const PredictedRows& predicted, Choice& choice) {
  const auto least = static_cast<float>(config_.tiers.prefetch_confidence);
  rows_.clear();
  for (const PredictedRow& row : predicted) rows_.push_back(row.row);
  places_.resize(rows_.size());
  run_.table()->store().locate(rows_, places_);
  choice.forget();
  for (std::size_t i = 0; i < predicted.size(); ++i) {
    if (places_[i] == Place::kHost) choice.absent[0].push_back(predicted[i]);
    if (places_[i] == Place::kDisk) choice.absent[1].push_back(predicted[i]);
  }
  for (std::size_t from = 0; from < choice.absent.size(); ++from) {
    PredictedRows& absent = choice.absent[from];
    choice.calibrations[from].set_confidence(absent);
    std::vector<RowId>& wanted = from == 0 ? choice.to_device : choice.to_host;
    for (const std::uint32_t index : memory::order_by_confidence(absent)) {
      if (absent[index].confidence < least) break;
      wanted.push_back(absent[index].row);
    }
  }
  // They stay where they are.
  for (std::size_t i = 0; i < predicted.size(); ++i) {
    const bool stays = places_[i] == Place::kDevice && predicted[i].confidence >= kLikely;
    if (stays) choice.to_device.push_back(predicted[i].row);
  }
}

void RowPrefetch::hint_rows(const Layer& layer, std::span<const RowId> rows, Place tier,
                            offload::HintStep step) {
  std::uint64_t& left = tier == Place::kHost ? host_left_ : device_left_;
  offload::TieredStore& store = run_.table()->store();
  if (rows.empty() || left < store.record_bytes()) return;
  const std::int64_t planned = store.hint({.rows = rows,
                                           .byte_budget = left,
                                           .tier = tier,
                                           .layer = static_cast<std::int32_t>(layer.block),
                                           .step = step});
  left -= static_cast<std::uint64_t>(planned) * store.record_bytes();
}

void RowPrefetch::hint(std::uint64_t next_step) {
  if (!is_on() || next_step > static_cast<std::uint64_t>(config_.train.steps)) return;
  if (config_.tiers.prefetch == PredictorKind::kOracleNextStep) {
    hint_exactly(next_step);
    return;
  }
  if (predicted_step_ != next_step) return;
  // As far as there was no room for them before; and what came from the disk meanwhile.
  for (Layer& layer : layers_) {
    Choice& choice = layer.ahead_choice;
    choice.to_device.insert(choice.to_device.begin(), choice.to_host.begin(), choice.to_host.end());
    hint_rows(layer, choice.to_device, Place::kDevice, offload::HintStep::kNext);
  }
}

// The weights are those before the step, so that every row that is found is one that it reads.
void RowPrefetch::hint_exactly(std::uint64_t next_step) {
  run_.table()->begin_evaluation(next_step - 1, offload::Cause::kPrefetch);
  rows_.clear();
  kernels::Stream& stream = run_.stream();
  for (std::int64_t micro = 0; micro < config_.train.micro_batches; ++micro) {
    data_.train_batch(next_step, micro, batch_);
    run_.model().evaluate(stream, {.tokens = batch_.tokens,
                                   .targets = batch_.targets,
                                   .batch = config_.train.batch,
                                   .sequence = config_.train.sequence});
    // The model's own list: of any other block there is no memory layer to ask.
    for (const std::int64_t block : run_.model().options().memory_blocks) {
      run_.backend().copy(stream, pinned_.as<void>(), run_.model().memory_layer(block)->rows(),
                          pinned_.bytes());
      stream.synchronize();
      const auto* rows = pinned_.as<RowId>();
      rows_.insert(rows_.end(), rows, rows + pinned_.bytes() / sizeof(RowId));
    }
  }
  std::sort(rows_.begin(), rows_.end());
  rows_.erase(std::unique(rows_.begin(), rows_.end()), rows_.end());
  offload::TieredStore& store = run_.table()->store();
  store.hint({.rows = rows_, .byte_budget = config_.tiers.prefetch_bytes});
  if (config_.tiers.prefetch_device_bytes == 0) return;
  store.hint(
      {.rows = rows_, .byte_budget = config_.tiers.prefetch_device_bytes, .tier = Place::kDevice});
}

std::vector<PredictionMetrics> RowPrefetch::take_scores() {
  std::vector<PredictionMetrics> metrics;
  for (Layer& layer : layers_) {
    for (std::size_t p = 0; p < layer.scores.size(); ++p) {
      const memory::PredictionScore score = std::exchange(layer.scores[p], {});
      if (score.steps == 0) continue;
      const bool is_one = p < predictors_.size();
      metrics.push_back({.predictor = is_one ? predictors_[p]->kind() : PredictorKind::kUnion,
                         .distance = is_one ? predictors_[p]->distance() : -1,
                         .layer = static_cast<std::int32_t>(layer.block),
                         .score = score});
    }
  }
  return metrics;
}

}  // namespace mneme::engine
