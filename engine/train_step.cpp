#include "engine/train_step.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "engine/lookup_trace.h"
#include "engine/schedule.h"
#include "io/elapsed.h"
#include "io/error.h"
#include "io/timeline.h"

namespace mneme::engine {
namespace {

using Clock = std::chrono::steady_clock;

// The stalls of the step come out of the part that they were in.
void take_out_stalls(const offload::Books& books, StepTimes& times) {
  const auto take = [&](offload::Pass pass, double& part) {
    const double booked = 1e-3 * double(books.total(offload::Cause::kTraining, pass).stall_us());
    const double ms = std::min(part, booked);
    times.stall_ms += ms;
    part -= ms;
  };
  take(offload::Pass::kForward, times.forward_ms);
  take(offload::Pass::kBackward, times.backward_ms);
  take(offload::Pass::kUpdate, times.update_ms);
}

}  // namespace

TrainStep::Marks::Marks(kernels::Backend& backend)
    : start(backend.create_event()),
      begin(backend.create_event()),
      forward_done(backend.create_event()),
      backward_begins(backend.create_event()),
      backward_done(backend.create_event()) {}

TrainStep::TrainStep(Run& run, bool will_be_saved)
    : run_(run), will_be_saved_(will_be_saved), update_done_(run.backend().create_event()) {
  for (std::int64_t i = 0; i < run.config().train.micro_batches; ++i) {
    marks_.emplace_back(run.backend());
  }
}

// Runs what may find the disk too full, once more where a checkpoint under way can change that.
template <typename Work>
double TrainStep::with_disk_room(const Work& work) {
  double waited_ms = 0;
  try {
    work();
  } catch (const offload::DiskBudgetError&) {
    if (!run_.checkpoints().is_saving()) throw;
    // What it replaces is free once it is committed.
    const auto start = Clock::now();
    run_.checkpoints().finish();
    waited_ms = io::elapsed_ms(start);
    work();
  }
  return waited_ms;
}

double TrainStep::make_gradient_room() {
  const auto layers = std::ssize(run_.config().table_blocks());
  return with_disk_room([&] { run_.table()->make_gradient_room(run_.stream(), layers); });
}

double TrainStep::check_disk_room() {
  return with_disk_room([&] { run_.table()->check_disk_room(run_.stream()); });
}

double TrainStep::await_checkpoint() {
  if (!run_.checkpoints().is_saving()) return 0;
  run_.stream().synchronize();
  const auto start = Clock::now();
  run_.checkpoints().await_parameters();
  return io::elapsed_ms(start);
}

void TrainStep::trace_tokens(std::int64_t micro) {
  offload::TraceWriter* const trace = run_.table()->store().trace();
  if (trace == nullptr) return;
  trace->add({.kind = offload::TraceKind::kTokens,
              .number = static_cast<std::uint64_t>(micro),
              .list = {batch_.tokens.begin(), batch_.tokens.end()}});
}

void TrainStep::show(std::uint64_t t) const {
  io::Timeline* const timeline = io::Timeline::current();
  if (timeline == nullptr || !times_) return;
  const auto add = [&](std::string_view name, const kernels::Event& from,
                       const kernels::Event& to) {
    timeline->add("1 compute", name, times_->when(from), times_->when(to));
  };
  add("step " + std::to_string(t), *marks_.front().start, *update_done_);
  for (const Marks& marks : marks_) {
    add("forward", *marks.begin, *marks.forward_done);
    add("backward", *marks.backward_begins, *marks.backward_done);
  }
  add("update", *marks_.back().backward_done, *update_done_);
}

StepMetrics TrainStep::take(std::uint64_t t, const NextBatch& next_batch, RowPrefetch* prefetch) {
  if (prefetch != nullptr && !prefetch->observes()) prefetch = nullptr;
  const Config& config = run_.config();
  const bool traces_lookups = run_.table() != nullptr && config.run.trace_lookups;
  LookupTrace lookups(run_);
  ForwardObservers observers;
  if (prefetch != nullptr) observers.add(*prefetch);
  if (traces_lookups) observers.add(lookups);
  const auto start = Clock::now();
  kernels::Stream& stream = run_.stream();
  if (!times_ && io::Timeline::current() != nullptr)
    times_ = kernels::StreamTimes::of(run_.backend(), stream);
  memory::ValueTable* table = run_.table();
  StepMetrics metrics;
  metrics.step = t;
  metrics.learning_rate =
      learning_rate(schedule_options(config.train, config.optimizer.learning_rate), t);
  metrics.value_learning_rate =
      learning_rate(schedule_options(config.train, config.memory.optimizer.learning_rate), t);
  if (table != nullptr) table->begin_step(t);
  run_.model().begin_step(stream);
  for (std::int64_t micro = 0; micro < config.train.micro_batches; ++micro) {
    const auto data_start = Clock::now();
    next_batch(micro, batch_);
    if (table != nullptr && (config.run.trace_tokens || traces_lookups)) trace_tokens(micro);
    lookups.begin(micro);
    metrics.times.data_ms += io::elapsed_ms(data_start);
    if (prefetch != nullptr) prefetch->begin(t, micro, batch_);
    Marks& marks = marks_[std::size_t(micro)];
    stream.record(*marks.start);
    if (table != nullptr) metrics.times.checkpoint_ms += make_gradient_room();
    stream.record(*marks.begin);
    run_.model().forward_backward(stream,
                                  {.tokens = batch_.tokens,
                                   .targets = batch_.targets,
                                   .first_keys = batch_.first_keys,
                                   .batch = config.train.batch,
                                   .sequence = config.train.sequence},
                                  1.0 / double(config.train.micro_batches),
                                  {marks.forward_done.get(), marks.backward_begins.get()},
                                  &observers);
    stream.record(*marks.backward_done);
  }
  // While no parameter and no value has changed yet: the state after the step before can still be
  // saved.
  if (table != nullptr && will_be_saved_) metrics.times.checkpoint_ms += check_disk_room();
  metrics.times.checkpoint_ms += await_checkpoint();
  updating_ = true;
  run_.optimizer().step(stream, t);
  if (table != nullptr) {
    const memory::TableStep rows = table->finish_step(stream);
    metrics.distinct_rows = rows.distinct_rows;
    metrics.row_gradient_norm = rows.gradient_norm;
  }
  stream.record(*update_done_);
  if (table != nullptr) table->store().queue_books(stream);
  metrics.loss = run_.model().take_loss(stream);  // waits for the stream, and so for the update
  if (!std::isfinite(metrics.loss)) {
    throw LossNotFinite(fmt::format("the loss of step {} is {}", t, metrics.loss));
  }
  updating_ = false;
  metrics.experts = run_.model().take_expert_counts();
  metrics.dense_gradient_norm = run_.optimizer().gradient_norm();
  for (const Marks& marks : marks_) {
    metrics.times.forward_ms += 1e3 * marks.forward_done->seconds_since(*marks.begin);
    metrics.times.predict_ms += 1e3 * marks.backward_begins->seconds_since(*marks.forward_done);
    metrics.times.backward_ms += 1e3 * marks.backward_done->seconds_since(*marks.backward_begins);
  }
  double update_s = update_done_->seconds_since(*marks_.back().backward_done);
  for (const Marks& marks : marks_) update_s += marks.begin->seconds_since(*marks.start);
  metrics.times.update_ms = std::max(0.0, 1e3 * update_s - metrics.times.checkpoint_ms);
  if (table != nullptr) take_out_stalls(table->store().books(), metrics.times);
  show(t);
  metrics.times.step_ms = io::elapsed_ms(start);
  metrics.tokens_per_s = 1e3 * double(config.tokens_per_step()) / metrics.times.step_ms;
  return metrics;
}

}  // namespace mneme::engine
