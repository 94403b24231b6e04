#include "engine/prefetch/row_prefetch.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "engine/prefetch/history_rows.h"
#include "engine/prefetch/lookahead_rows.h"
#include "engine/prefetch/next_batch_rows.h"
#include "engine/prefetch/predictor_options.h"
#include "io/check.h"
#include "io/timeline.h"

namespace mneme::engine {

using kernels::Place;
using kernels::RowId;
using memory::PredictedRows;
using memory::PredictorKind;

// What is known of one layer, between its forward pass of a step and that of the next.
struct RowPrefetch::Layer {
  Layer(std::int32_t block_number, const Config& config, std::uint64_t table_rows,
        std::size_t predictors)
      : block(block_number),
        hot(table_rows),
        predicted(predictors),
        ahead_choice(static_cast<float>(config.tiers.prefetch_confidence)),
        running_choice(ahead_choice),
        running(static_cast<std::size_t>(config.train.micro_batches)),
        scores(predictors + 1),
        hint_scores(predictors + 1) {}

  std::int32_t block;
  memory::HotRows hot;
  // Distinct rows of the step's micro-batches, in pinned host memory once the stream was there.
  kernels::DeviceArray<RowId> read;
  std::vector<std::int64_t> counts;  // of each micro-batch
  // Of the next step, by those predictors that look a step ahead; and together.
  std::vector<PredictedRows> predicted;
  PredictedRows ahead;
  memory::UnionCalibration ahead_calibration, together_calibration;
  memory::HintChoice ahead_choice, running_choice;
  memory::ChosenRows chosen_ahead;          // for the next step
  std::vector<memory::ChosenRows> running;  // for each micro-batch of the running one
  // The last one of all together.
  std::vector<memory::PredictionScore> scores;
  std::vector<memory::HintScore> hint_scores;

  std::span<const RowId> read_of(std::size_t micro) const {
    const auto before = counts.begin() + static_cast<std::ptrdiff_t>(micro);
    return {read.data() + std::accumulate(counts.begin(), before, std::int64_t{0}),
            static_cast<std::size_t>(*before)};
  }
  RowId* read_end() const {
    return read.data() + std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  }

  // Who predicted the step before need not predict the next one.
  void forget_ahead() {
    for (PredictedRows& rows : predicted) rows.clear();
    ahead.clear();
    chosen_ahead.clear();
  }
  void add(const memory::HintScores& more) {
    const std::size_t predictors = hint_scores.size() - 1;
    for (std::size_t p = 0; p < std::min(predictors, memory::kNamers); ++p) {
      hint_scores[p] += more[p];
    }
    hint_scores.back() += more.back();
  }
};

RowPrefetch::RowPrefetch(const Config& config, const Data& data, Run& run)
    : config_(config), data_(data), run_(run) {
  if (!is_on()) return;
  offload::TieredStore& store = run.table()->store();
  sender_.emplace(
      HintTarget{.record_bytes = store.record_bytes(),
                 .locate = [&store](std::span<const RowId> rows,
                                    std::span<Place> places) { store.locate(rows, places); },
                 .hint = [&store](const offload::Hint& hint) { return store.hint(hint); }});
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
  for (const PredictorKind history : memory::kHistories) {
    if (!is_part(history, kind)) continue;
    predictors_.push_back(std::make_unique<HistoryRows>(history, run_, *side_));
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
  for (const auto& predictor : predictors_) {
    std::string& track =
        tracks_.emplace_back("6 predict: " + std::string(io::name_of(predictor->kind())));
    if (predictor->distance() >= 0) track += ", d " + std::to_string(predictor->distance());
  }
  const std::int64_t lookups =
      config_.tokens_per_step() * config_.memory.heads * config_.memory.knn;
  const std::vector<std::int64_t>& blocks = run_.model().options().table_blocks();
  layers_.reserve(blocks.size());
  for (const std::int64_t block : blocks) {
    Layer& layer = layers_.emplace_back(static_cast<std::int32_t>(block), config_,
                                        run_.table()->options().rows, predictors_.size());
    layer.read = kernels::pinned_array<RowId>(backend, lookups);
  }
  const offload::StoreOptions& store = run_.table()->store().options();
  host_link_ =
      LinkBudget(store.tiers.host_link_bytes_per_second > 0 ? store.tiers.host_link_bytes_per_second
                                                            : measure_host_link(backend));
  disk_link_ = LinkBudget(store.tiers.disk_link_bytes_per_second);
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

std::string RowPrefetch::end_step(const StepTimes& times) {
  const double computed_ms = times.step_ms - times.stall_ms;
  if (computed_ms > 0) forward_share_ = std::min(1.0, times.forward_ms / computed_ms);
  host_link_.note_step(1e-3 * computed_ms);
  disk_link_.note_step(1e-3 * computed_ms, written_bytes_);
  if (!trial_) return {};
  trial_->note(times.step_ms, times.stall_ms);
  const std::optional<PrefetchDecision> decision = trial_->take_decision();
  if (!decision) return {};
  if (std::exchange(decided_, decision->candidate) == decision->candidate) return {};
  const Group& kept = candidates_[decision->candidate];
  if (kept.empty()) {
    return fmt::format("prefetch: no predictor pays ({:.1f} ms a step without)",
                       decision->ms_without);
  }
  return fmt::format("prefetch: {} pays: {:.0f}% of the {:.1f} ms a step takes without",
                     describe(kept), 100 * decision->ratio, decision->ms_without);
}

void RowPrefetch::note_moves(const offload::Entry& moved) {
  using offload::Field;
  disk_link_.note_busy(
      moved.disk_bytes_read(),
      1e-6 * static_cast<double>(moved[Field::kDiskToDeviceTime] + moved[Field::kDiskToHostTime]));
  written_bytes_ = moved.disk_bytes_written();
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
  sender_->begin_step(std::min(config_.tiers.prefetch_bytes, disk_link_.bytes()),
                      std::min(config_.tiers.prefetch_device_bytes, host_link_.bytes()));
}

double RowPrefetch::share_ahead(std::int64_t block) const {
  std::int64_t distance = 0;
  for (const std::size_t p : active_) distance = std::max(distance, predictors_[p]->distance());
  const auto branches = static_cast<double>(2 * std::min(distance, block) + 1);
  return forward_share_ * branches / static_cast<double>(2 * run_.model().options().blocks);
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
    const io::TimelineSpan span(track_of(p), "before a block");
    predictors_[p]->before_branch(branch, state, tokens, stream);
  }
  if (branch % 2 == 0) return;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    if (layers_[l].block != static_cast<std::int64_t>(branch / 2)) continue;
    std::vector<PredictedRows> lists(predictors_.size());
    for (const std::size_t p : active_) {
      if (looks_ahead(p)) continue;
      const io::TimelineSpan span(track_of(p), "rank");
      lists[p] = predictors_[p]->of_micro_batch(l);
    }
    hint_running(layers_[l], lists);
  }
}

void RowPrefetch::hint_running(Layer& layer, std::span<const PredictedRows> lists) {
  memory::ChosenRows& chosen = layer.running[static_cast<std::size_t>(micro_)];
  chosen.clear();
  const PredictedRows predicted = memory::union_of(lists);
  if (predicted.empty()) return;
  sender_->choose(layer.running_choice, predicted, chosen);
  const double share = share_ahead(layer.block);
  const auto step = offload::HintStep::kRunning;
  sender_->bring_to_host(chosen, layer.block, step, disk_link_.bytes(share));
  sender_->bring_to_device(chosen, layer.block, step, host_link_.bytes(share));
}

void RowPrefetch::after_memory(std::int64_t block, const memory::TableLayer& memory,
                               kernels::Stream& stream) {
  if (active_.empty()) return;
  Layer& layer = layer_of(block);
  const auto index = static_cast<std::size_t>(&layer - layers_.data());
  for (const std::size_t p : active_) {
    const io::TimelineSpan span(track_of(p), "behind a memory layer");
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
  const std::span<const RowId> waited_for = run_.table()->store().late_rows();
  std::vector<RowId> late(waited_for.begin(), waited_for.end());
  std::sort(late.begin(), late.end());
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
      layer.add(layer.ahead_choice.learn(layer.chosen_ahead, read, late));
    }
    for (std::size_t micro = 0; micro < layer.counts.size(); ++micro) {
      layer.add(layer.running_choice.learn(layer.running[micro], layer.read_of(micro), late));
    }
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
      if (!looks_ahead(p)) continue;
      const io::TimelineSpan span(track_of(p), "predict");
      predictors_[p]->predict(batch_);
    }
  }
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    Layer& layer = layers_[l];
    for (const std::size_t p : active_) {
      if (!looks_ahead(p)) continue;
      const io::TimelineSpan span(track_of(p), "rank");
      layer.predicted[p] = predictors_[p]->take(l);
    }
    layer.ahead = memory::union_of(layer.predicted);
    if (predictors_.size() > 1) layer.ahead_calibration.set_confidence(layer.ahead);
    sender_->choose(layer.ahead_choice, layer.ahead, layer.chosen_ahead);
  }
  const io::TimelineSpan span("6 hints", "hint");
  // A hint to the host tier waits for what is on its way between device and host.
  for (Layer& layer : layers_) {
    sender_->bring_to_host(layer.chosen_ahead, layer.block, offload::HintStep::kNext);
  }
  for (Layer& layer : layers_) {
    sender_->bring_to_device(layer.chosen_ahead, layer.block, offload::HintStep::kNext);
  }
}

void RowPrefetch::hint(std::uint64_t next_step) {
  if (!is_on() || next_step > static_cast<std::uint64_t>(config_.train.steps)) return;
  if (config_.tiers.prefetch == PredictorKind::kOracleNextStep) {
    hint_exactly(next_step);
    return;
  }
  if (predicted_step_ != next_step) return;
  const io::TimelineSpan span("6 hints", "the rest");
  for (Layer& layer : layers_) sender_->bring_rest(layer.chosen_ahead, layer.block);
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
                                   .first_keys = batch_.first_keys,
                                   .batch = config_.train.batch,
                                   .sequence = config_.train.sequence});
    // The model's own list: of any other block there is no memory layer to ask.
    for (const std::int64_t block : run_.model().options().table_blocks()) {
      run_.backend().copy(stream, pinned_.as<void>(), run_.model().table_layer(block)->rows(),
                          pinned_.bytes());
      stream.synchronize();
      const auto* rows = pinned_.as<RowId>();
      rows_.insert(rows_.end(), rows, rows + pinned_.bytes() / sizeof(RowId));
    }
  }
  std::sort(rows_.begin(), rows_.end());
  rows_.erase(std::unique(rows_.begin(), rows_.end()), rows_.end());
  sender_->begin_step(config_.tiers.prefetch_bytes, config_.tiers.prefetch_device_bytes);
  sender_->bring(rows_, Place::kHost);
  sender_->bring(rows_, Place::kDevice);
}

std::vector<PredictionMetrics> RowPrefetch::take_scores() {
  std::vector<PredictionMetrics> metrics;
  for (Layer& layer : layers_) {
    for (std::size_t p = 0; p < layer.scores.size(); ++p) {
      const memory::PredictionScore score = std::exchange(layer.scores[p], {});
      const memory::HintScore hints = std::exchange(layer.hint_scores[p], {});
      if (score.steps == 0) continue;
      const bool is_one = p < predictors_.size();
      metrics.push_back({.predictor = is_one ? predictors_[p]->kind() : PredictorKind::kUnion,
                         .distance = is_one ? predictors_[p]->distance() : -1,
                         .layer = layer.block,
                         .score = score,
                         .hints = hints});
    }
  }
  return metrics;
}

}  // namespace mneme::engine
