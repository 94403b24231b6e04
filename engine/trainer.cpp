#include "engine/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include "engine/data.h"
#include "engine/evaluate.h"
#include "engine/progress.h"
#include "engine/row_prefetch.h"
#include "engine/run.h"
#include "engine/sampler.h"
#include "engine/schedule.h"
#include "io/error.h"
#include "io/file_lock.h"

namespace mneme::engine {
namespace {

using Clock = std::chrono::steady_clock;

double elapsed_ms(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// Device-time marks of one micro-batch.
struct Marks {
  explicit Marks(kernels::Backend& backend)
      : begin(backend.create_event()),
        forward_done(backend.create_event()),
        backward_done(backend.create_event()) {}
  std::unique_ptr<kernels::Event> begin, forward_done, backward_done;
};

std::string percent(std::uint64_t part, std::uint64_t whole) {
  return fmt::format("{:.0f}%", whole == 0 ? 0.0 : 100.0 * double(part) / double(whole));
}

class Training {
 public:
  Training(const Config& config, io::Disk& disk, const TrainerOptions& options)
      : config_(config),
        options_(options),
        lock_(lock_directory(config, disk)),
        data_(data_options(config)),
        run_(config, disk),
        prefetch_(config, data_, run_) {
    if (options.resume) {
      completed_ = run_.load();
    } else {
      if (run_.checkpoints().exists()) {
        io::fail(
            "{} already holds a run; resume it (mneme resume {}), or choose another "
            "run.directory",
            config.run.directory, config.run.directory);
      }
      run_.initialize();
      const std::string text = to_toml(config);
      disk.write_file(config.run.directory + "/config.toml", std::as_bytes(std::span(text)));
    }
    metrics_.emplace(config.run.directory + "/metrics.jsonl", completed_);
    for (std::int64_t i = 0; i < config.train.micro_batches; ++i)
      marks_.emplace_back(run_.backend());
    update_done_ = run_.backend().create_event();
    if (options.progress != nullptr) {
      progress_.emplace(*options.progress,
                        standard_error_progress(std::uint64_t(config.train.log_every)));
    }
  }

  TrainResult train() {
    TrainResult result;
    result.first_step = completed_;
    result.unigram_entropy = data_.unigram_entropy();
    const auto steps = static_cast<std::uint64_t>(config_.train.steps);
    std::uint64_t saved = options_.resume ? completed_ : ~std::uint64_t{0};
    while (completed_ < steps) {
      if (options_.stop_requested && options_.stop_requested()) {
        result.interrupted = true;
        break;
      }
      StepMetrics metrics = step(completed_ + 1);
      ++completed_;
      result.last_loss = metrics.loss;
      speeds_.push_back(metrics.tokens_per_s);
      if (due(config_.evaluation.every)) metrics.validation_loss = validate(result);
      metrics_->write(metrics);
      if (options_.on_step) options_.on_step(metrics);
      show(metrics);
      if (due(config_.sample.every)) sample();
      if (due(config_.checkpoint.every)) {
        run_.save(completed_);
        saved = completed_;
      }
    }
    if (saved != completed_) run_.save(completed_);
    if (progress_)
      progress_->note(fmt::format("checkpoint of step {} in {}", completed_,
                                  Checkpointer::directory(config_.run.directory)));
    if (!result.interrupted) {
      if (!due(config_.evaluation.every)) validate(result);
      if (!due(config_.sample.every)) sample();
    }
    result.last_step = completed_;
    if (!speeds_.empty()) {
      std::nth_element(speeds_.begin(), speeds_.begin() + std::ptrdiff_t(speeds_.size() / 2),
                       speeds_.end());
      result.tokens_per_s = speeds_[speeds_.size() / 2];
    }
    return result;
  }

 private:
  static io::FileLock lock_directory(const Config& config, io::Disk& disk) {
    disk.make_directories(config.run.directory);
    return io::FileLock(config.run.directory);
  }

  bool due(std::int64_t every) const {
    return every > 0 && completed_ > 0 && completed_ % std::uint64_t(every) == 0;
  }

  StepMetrics step(std::uint64_t t) {
    const auto start = Clock::now();
    kernels::Stream& stream = run_.stream();
    memory::ValueTable* table = run_.table();
    StepMetrics metrics;
    metrics.step = t;
    metrics.learning_rate =
        learning_rate(schedule_options(config_.train, config_.optimizer.learning_rate), t);
    metrics.value_learning_rate =
        learning_rate(schedule_options(config_.train, config_.memory.optimizer.learning_rate), t);
    if (table != nullptr) table->begin_step(t);
    run_.model().begin_step(stream);
    for (std::int64_t micro = 0; micro < config_.train.micro_batches; ++micro) {
      const auto data_start = Clock::now();
      data_.train_batch(t, micro, batch_);
      metrics.times.data_ms += elapsed_ms(data_start);
      Marks& marks = marks_[std::size_t(micro)];
      stream.record(*marks.begin);
      run_.model().forward_backward(stream,
                                    {.tokens = batch_.tokens,
                                     .targets = batch_.targets,
                                     .batch = config_.train.batch,
                                     .sequence = config_.train.sequence},
                                    1.0 / double(config_.train.micro_batches),
                                    marks.forward_done.get());
      stream.record(*marks.backward_done);
    }
    run_.optimizer().step(stream, t);
    if (table != nullptr) {
      const memory::TableStep rows = table->finish_step(stream);
      metrics.distinct_rows = rows.distinct_rows;
      metrics.row_gradient_norm = rows.gradient_norm;
    }
    stream.record(*update_done_);
    metrics.loss = run_.model().take_loss(stream);
    stream.synchronize();
    if (!std::isfinite(metrics.loss)) {
      io::fail(
          "the loss of step {} is {}; lower optimizer.learning_rate or "
          "memory.optimizer.learning_rate and resume from the last checkpoint",
          t, metrics.loss);
    }
    metrics.dense_gradient_norm = run_.optimizer().gradient_norm();
    for (const Marks& marks : marks_) {
      metrics.times.forward_ms += 1e3 * marks.forward_done->seconds_since(*marks.begin);
      metrics.times.backward_ms += 1e3 * marks.backward_done->seconds_since(*marks.forward_done);
    }
    metrics.times.update_ms = 1e3 * update_done_->seconds_since(*marks_.back().backward_done);
    prefetch_.hint(t + 1);
    if (table != nullptr) {
      metrics.rows = table->store().step_counters();
      metrics.times.acquire_stall_ms = 1e-3 * double(metrics.rows.acquire_stall_us);
      metrics.times.write_back_wait_ms = 1e-3 * double(metrics.rows.write_back_wait_us);
    }
    metrics.times.step_ms = elapsed_ms(start);
    metrics.tokens_per_s = 1e3 * double(config_.tokens_per_step()) / metrics.times.step_ms;
    return metrics;
  }

  std::optional<double> validate(TrainResult& result) {
    if (data_.validation_batches() == 0) return {};
    const EvaluationResult evaluated = evaluate(run_, data_, completed_);
    result.validation_loss = evaluated.loss;
    if (progress_) {
      progress_->note(fmt::format(
          "step {}: validation loss {:.4f} ({:.2f} bits a token, "
          "perplexity {:.2f})",
          completed_, evaluated.loss, evaluated.loss / std::log(2.0), std::exp(evaluated.loss)));
    }
    return evaluated.loss;
  }

  void sample() {
    if (options_.samples == nullptr || config_.sample.tokens == 0) return;
    *options_.samples << sample_text(run_, completed_, config_.sample.prompt, config_.run.seed)
                      << "\n"
                      << std::flush;
  }

  void show(const StepMetrics& metrics) {
    if (!progress_) return;
    const auto steps = static_cast<std::uint64_t>(config_.train.steps);
    std::string text = fmt::format("step {}/{}  loss {:.4f}  {:.0f} tokens/s", metrics.step, steps,
                                   metrics.loss, metrics.tokens_per_s);
    if (run_.table() != nullptr) {
      const offload::StepCounters& rows = metrics.rows;
      const std::uint64_t all = rows.rows_leased;
      text += fmt::format("  rows from device {} host {} disk {} new {}",
                          percent(rows.device.rows_read, all), percent(rows.host.rows_read, all),
                          percent(rows.disk.rows_read, all), percent(rows.rows_generated, all));
    }
    progress_->update(metrics.step, steps, text);
  }

  const Config& config_;
  const TrainerOptions& options_;
  io::FileLock lock_;
  Data data_;
  Run run_;
  RowPrefetch prefetch_;
  std::uint64_t completed_ = 0;
  std::optional<MetricsWriter> metrics_;
  std::optional<Progress> progress_;
  std::vector<Marks> marks_;
  std::unique_ptr<kernels::Event> update_done_;
  Batch batch_;
  std::vector<double> speeds_;
};

}  // namespace

TrainResult train(const Config& config, io::Disk& disk, const TrainerOptions& options) {
  return Training(config, disk, options).train();
}

}  // namespace mneme::engine
