#include "engine/prefetch/history_replay.h"

#include <algorithm>
#include <utility>

#include "io/check.h"
#include "io/error.h"

namespace mneme::engine {

using kernels::Place;
using kernels::RowId;
using offload::TraceEvent;
using offload::TraceKind;

HistoryReplay::HistoryReplay(kernels::Backend& backend, io::Disk& disk, const std::string& path,
                             offload::ReplayStore& store, const HistoryReplayOptions& options)
    : backend_(backend),
      store_(store),
      options_(options),
      path_(path),
      stream_(backend.create_stream()),
      ahead_(disk, path) {
  CHECK(memory::is_history(options.kind));
}

HistoryReplay::StepAhead HistoryReplay::read_step() {
  StepAhead found;
  if (begun_ != 0) found.step = std::exchange(begun_, 0);
  TraceEvent event;
  while (ahead_.next(event)) {
    if (event.kind == TraceKind::kStep) {
      if (found.step != 0) {
        begun_ = event.number;
        break;
      }
      found.step = event.number;
    }
    if (event.kind == TraceKind::kTokens) found.tokens.push_back(std::move(event.list));
    if (event.kind != TraceKind::kLookups) continue;
    found.lookups_per_token = static_cast<std::int64_t>(event.lookups_per_token);
    found.sequence = static_cast<std::int64_t>(event.sequence);
    if (event.number == 0) found.layers.push_back(event.account.layer);
  }
  return found;
}

void HistoryReplay::begin_step(std::uint64_t step) {
  if (next_.step != step) next_ = {};
  while (next_.step != step) {
    next_ = read_step();
    CHECK(next_.step != 0);  // a step that the other reader has found
  }
  running_ = std::exchange(next_, read_step());
  micro_ = 0;
  has_predicted_ = false;
  for (auto& [block, layer] : layers_) layer.read.clear();
  if (running_.layers.empty() || running_.tokens.empty()) {
    io::fail("{}: it does not hold what each token has read: train with run.trace_lookups=true",
             path_);
  }
  if (!predictor_) open();
}

void HistoryReplay::open() {
  for (const std::int32_t block : running_.layers) layers_.try_emplace(block, options_.confidence);
  const auto tokens = static_cast<std::int64_t>(running_.tokens.front().size());
  predictor_.emplace(backend_, memory::history_options(
                                   options_.kind, {.layers = layers_.size(),
                                                   .tokens = tokens,
                                                   .lookups_per_token = running_.lookups_per_token,
                                                   .sequence = running_.sequence,
                                                   .table_rows = ahead_.header().rows,
                                                   .bytes = options_.history_bytes}));
  lookups_ = {backend_, tokens * running_.lookups_per_token};
  sender_.emplace(
      HintTarget{.record_bytes = store_.tiers().record_bytes,
                 .locate = [this](std::span<const RowId> rows,
                                  std::span<Place> places) { store_.locate(rows, places); },
                 .hint =
                     [this](const offload::Hint& hint) {
                       return store_.hint({.kind = TraceKind::kHint,
                                           .number = hint.byte_budget,
                                           .account = {offload::Cause::kPrefetch, hint.layer},
                                           .to_device = hint.tier == Place::kDevice,
                                           .list = {hint.rows.begin(), hint.rows.end()}});
                     }});
}

void HistoryReplay::before(const TraceEvent& event) {
  switch (event.kind) {
    case TraceKind::kStart:  // a process has seen nothing yet
      predictor_.reset();
      layers_.clear();
      return;
    case TraceKind::kStep:
      return begin_step(event.number);
    case TraceKind::kTokens:
      micro_ = event.number;
      return;
    case TraceKind::kLookups:
      return remember(event);
    case TraceKind::kLease: {
      if (event.account.cause != offload::Cause::kTraining) return;
      if (event.account.pass != offload::Pass::kForward) {
        const bool is_last = micro_ + 1 == running_.tokens.size();
        if (is_last && !std::exchange(has_predicted_, true)) predict_next();
        return;
      }
      const auto layer = layers_.find(event.account.layer);
      if (layer == layers_.end()) return;
      std::vector<RowId>& read = layer->second.read;
      read.insert(read.end(), event.list.begin(), event.list.end());
      return;
    }
    default:
      return;
  }
}

void HistoryReplay::after(const TraceEvent& event) {
  if (event.kind != TraceKind::kEndStep || !has_predicted_ || next_.step == 0) return;
  for (auto& [block, layer] : layers_) sender_->bring_rest(layer.chosen, block);
}

void HistoryReplay::remember(const TraceEvent& event) {
  const auto layer = layers_.find(event.account.layer);
  if (layer == layers_.end() || event.number >= running_.tokens.size() ||
      std::ssize(event.list) != lookups_.count()) {
    io::fail("{}: the look-ups of step {} are not those of its tokens", path_, running_.step);
  }
  std::copy(event.list.begin(), event.list.end(), lookups_.data());
  const std::vector<std::uint32_t>& tokens = running_.tokens[event.number];
  tokens_.assign(tokens.begin(), tokens.end());
  predictor_->remember(*stream_, index_of(layer), lookups_.data(), tokens_);
  stream_->synchronize();
}

std::size_t HistoryReplay::index_of(std::map<std::int32_t, Layer>::iterator layer) {
  return static_cast<std::size_t>(std::distance(layers_.begin(), layer));
}

void HistoryReplay::predict_next() {
  for (auto& [block, layer] : layers_) {
    std::sort(layer.read.begin(), layer.read.end());
    layer.read.erase(std::unique(layer.read.begin(), layer.read.end()), layer.read.end());
    if (layer.predicted.empty()) continue;
    layer.ranking.learn(layer.predicted, layer.read);
    layer.choice.learn(layer.chosen, layer.read, {});
  }
  for (const std::vector<std::uint32_t>& tokens : next_.tokens) {
    tokens_.assign(tokens.begin(), tokens.end());
    for (auto layer = layers_.begin(); layer != layers_.end(); ++layer) {
      const auto counted = predictor_->predict(*stream_, index_of(layer), tokens_);
      layer->second.ranking.add(counted.rows, counted.votes);
    }
  }
  sender_->begin_step(options_.host_bytes, options_.device_bytes);
  for (auto& [block, layer] : layers_) {
    const memory::PredictedRows lists[] = {layer.ranking.take()};
    layer.predicted = memory::union_of(lists);
    sender_->choose(layer.choice, layer.predicted, layer.chosen);
  }
  const auto next = offload::HintStep::kNext;
  for (auto& [block, layer] : layers_) sender_->bring_to_host(layer.chosen, block, next);
  for (auto& [block, layer] : layers_) sender_->bring_to_device(layer.chosen, block, next);
}

}  // namespace mneme::engine
