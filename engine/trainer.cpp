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
#include "engine/train_step.h"
#include "io/elapsed.h"
#include "io/error.h"
#include "io/file_lock.h"
#include "io/kill_point.h"

namespace mneme::engine {
namespace {

using Clock = std::chrono::steady_clock;

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
        step_(run_),
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
      io::kill_point("step");
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
    StepMetrics metrics = step_.take(
        t, [&](std::int64_t micro, Batch& batch) { data_.train_batch(t, micro, batch); });
    const auto start = Clock::now();
    prefetch_.hint(t + 1);
    if (run_.table() != nullptr) metrics.rows = run_.table()->store().step_counters();
    metrics.times.step_ms += io::elapsed_ms(start);
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
  TrainStep step_;
  RowPrefetch prefetch_;
  std::uint64_t completed_ = 0;
  std::optional<MetricsWriter> metrics_;
  std::optional<Progress> progress_;
  std::vector<double> speeds_;
};

}  // namespace

TrainResult train(const Config& config, io::Disk& disk, const TrainerOptions& options) {
  return Training(config, disk, options).train();
}

}  // namespace mneme::engine
