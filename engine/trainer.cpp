#include "engine/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "engine/config_reader.h"
#include "engine/data.h"
#include "engine/device.h"
#include "engine/evaluate.h"
#include "engine/open_metrics.h"
#include "engine/prefetch/predictor_file.h"
#include "engine/prefetch/row_prefetch.h"
#include "engine/preflight.h"
#include "engine/prompt.h"
#include "engine/run.h"
#include "engine/run_claim.h"
#include "engine/run_config_file.h"
#include "engine/run_directory.h"
#include "engine/run_files.h"
#include "engine/run_identity.h"
#include "engine/run_tokenizer.h"
#include "engine/step_line.h"
#include "engine/tier_advice.h"
#include "engine/tier_choice.h"
#include "engine/train_step.h"
#include "engine/training_saves.h"
#include "io/elapsed.h"
#include "io/error.h"
#include "io/log.h"

namespace mneme::engine {
namespace {

using Clock = std::chrono::steady_clock;

// A number that no other run has.
std::uint64_t draw_run_id() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

// The median of the last values added, in a bounded number of them.
class RecentMedian {
 public:
  void add(double value) {
    if (values_.size() < kMost) {
      values_.push_back(value);
    } else {
      values_[next_] = value;
    }
    next_ = (next_ + 1) % kMost;
  }
  double median() const {
    if (values_.empty()) return 0;
    std::vector<double> sorted = values_;
    const auto middle = sorted.begin() + std::ptrdiff_t(sorted.size() / 2);
    std::nth_element(sorted.begin(), middle, sorted.end());
    return *middle;
  }

 private:
  static constexpr std::size_t kMost = 1000;
  std::vector<double> values_;
  std::size_t next_ = 0;
};

class Training {
 public:
  Training(const Config& config, io::Disk& disk, const TrainerOptions& options)
      : config_(config), disk_(disk), options_(options) {
    if (options.resume) {
      resume();
    } else {
      start();
    }
  }

  TrainResult train() {
    const auto start = Clock::now();
    result_.first_step = completed_;
    const std::uint64_t last = last_step();
    bool stops = stopped();
    try {
      while (completed_ < last && !stops) {
        take_step();
        stops = finish_step();
      }
    } catch (...) {
      saves_->finish_after_failure();
      write_line_after_failure();
      throw;
    }
    if (open_metrics_) open_metrics_->finish();
    if (options_.progress != nullptr) options_.progress->end_line();
    const bool any_step = completed_ > result_.first_step;
    if (any_step) {
      const double seconds = 1e-3 * io::elapsed_ms(start);
      const double tokens =
          double(config_.tokens_per_step()) * double(completed_ - result_.first_step);
      result_.mean_tokens_per_s = tokens / seconds;
    } else {
      end_without_steps();
    }
    if (saves_->saved() != completed_ && options_.saves_at_stop) {
      note(fmt::format("step {} is not saved: checkpoint.final is false", completed_));
    }
    result_.interrupted = completed_ < static_cast<std::uint64_t>(config_.train.steps);
    result_.last_step = completed_;
    result_.tokens_per_s = speeds_.median();
    return result_;
  }

 private:
  // What fails for a new run fails before anything is made in its directory, where that can be.
  void start() {
    check_new_run_directory(disk_, config_.run.directory);
    tokenizer_ = open_run_tokenizer(config_.data);
    check_tokenizer_place(disk_, config_.run.directory, tokenizer_.get());
    open_data();
    record_.id = draw_run_id();
    record_.tokenizer = record_tokenizer(tokenizer_.get(), config_.data);
    record_.config = to_toml(config_);
    record_.data = data_->fingerprint();
    record_.validation_data = data_->validation_fingerprint();
    record_.schedule = continue_schedule({}, 0, config_);
    run_.emplace(run_config(), disk_, run_options());
    open_saves();
    claim_ = RunClaim::start(disk_, config_.run.directory);
    run_->initialize();
    prepare_steps();
    claim_.begin(record_.id, record_.config);
    keep_tokenizer(disk_, claim_, config_.run.directory, tokenizer_.get());
    metrics_.emplace(disk_, metrics_path(config_.run.directory), MetricsMark{}, 0);
    saves_->prepare();
    start_trace();
  }

  // Beginning with the trace that knows the checkpoint that the run goes on from, if there is one.
  void start_trace() {
    if (!run_->config().run.trace || run_->table() == nullptr) return;
    const std::string& directory = config_.run.directory;
    disk_.make_directories(trace_directory(directory));
    const std::uint32_t table = run_->table()->options().table;
    std::vector<std::string> paths = trace_paths(disk_, directory, table);
    paths.push_back(trace_path(directory, table, completed_));
    run_->table()->store().start_trace(disk_, paths, completed_);
  }

  // Reads as much of the data as tells whether it fits the configuration. REQUIRES: the tokenizer
  // is open.
  void open_data() {
    if (config_.sample.tokens > 0) {
      prompt_tokens(config_.sample.prompt, tokenizer_.get(), config_.data.vocabulary);
    }
    data_.emplace(data_options(config_));
    result_.unigram_entropy = data_->unigram_entropy();
  }

  // What steps need, and whether they will be able to write what they have to.
  void prepare_steps() {
    check_outputs(disk_, *run_);
    if (config_.run.open_metrics) {
      open_metrics_.emplace(disk_, config_.run.directory, config_.tokens_per_step());
    }
    step_.emplace(*run_, /*will_be_saved=*/options_.saves_at_stop || config_.checkpoint.final ||
                             config_.checkpoint.every > 0);
    prefetch_.emplace(config_, *data_, *run_);
    note("on " + describe(run_->backend()));
  }

  void open_saves() {
    saves_.emplace(
        *run_, [this] { return mark_metrics(); },
        [this](std::uint64_t step) {
          save_predictors(disk_, predictors_path(config_.run.directory), record_.id,
                          prefetch_->maps());
          note(fmt::format("checkpoint of step {} in {}", step,
                           checkpoints_directory(config_.run.directory)));
        });
  }

  void resume() {
    const std::string& path = config_.run.directory;
    const RunDirectory unlocked(disk_, path);  // there is a run to go on with
    claim_ = RunClaim::resume(disk_, path);
    const RunDirectory directory(disk_, path);
    const Manifest& manifest = directory.manifest();
    const CheckpointEntry& from = directory.checkpoint(options_.step);
    check_identity(directory.config(), config_, RunUse::kTrain, directory.manifest_file());
    check_steps_left(directory, from.step);
    directory.check_tokenizer();
    tokenizer_ = open_kept_tokenizer(config_.data);
    open_data();
    record_ = manifest.run;
    if (!options_.accept_changed_data) {
      check_fingerprints(record_, *data_, config_.data, "mneme resume " + path);
    }
    record_.data = data_->fingerprint();
    record_.validation_data = data_->validation_fingerprint();
    record_.config = to_toml(config_);
    record_.schedule = continue_schedule(manifest.run.schedule, from.step, config_);
    const std::string change = describe_schedule_change(record_.schedule, from.step, config_);
    if (!change.empty()) io::info("{}", change);
    run_.emplace(run_config(), disk_, run_options());
    open_saves();
    completed_ = run_->load(manifest, from.step).step;
    saves_->resume_from(completed_);
    prepare_steps();
    load_predictors(disk_, predictors_path(path), record_.id, run_->stream(), prefetch_->maps());
    write_config_file(directory);
    metrics_.emplace(disk_, metrics_path(path), from.metrics, completed_);
    saves_->prepare();
    start_trace();
    note(fmt::format("{}: going on after step {} of {}", path, completed_, config_.train.steps));
  }

  // A run that is complete may be resumed, and stays as it is; one that is longer than asked for
  // cannot become shorter.
  void check_steps_left(const RunDirectory& directory, std::uint64_t step) const {
    if (step <= static_cast<std::uint64_t>(config_.train.steps)) return;
    std::string earlier;
    for (const CheckpointEntry& entry : directory.manifest().checkpoints) {
      if (entry.step >= static_cast<std::uint64_t>(config_.train.steps)) break;
      earlier = fmt::format(", or go on from an earlier checkpoint with --step {}", entry.step);
    }
    io::fail(
        "{}: train.steps is {}, but the checkpoint is of step {}; set train.steps to {} or "
        "more{}",
        config_.run.directory, config_.train.steps, step, step, earlier);
  }

  // As this process runs it.
  Config run_config() const {
    Config config = config_;
    if (options_.traces) config.run.trace = config.run.trace_lookups = true;
    return config;
  }
  std::uint64_t last_step() const {
    const auto steps = static_cast<std::uint64_t>(config_.train.steps);
    return std::min(steps, options_.stop_after.value_or(steps));
  }
  RunOptions run_options() const { return {.id = record_.id, .schedule = record_.schedule}; }

  // Keeps config.toml up to date, unless it is no longer what mneme has written.
  void write_config_file(const RunDirectory& directory) const {
    const std::string path = config_path(config_.run.directory);
    const std::string problem = disk_.exists(path) ? directory.config_file_problem() : "";
    if (!problem.empty()) {
      io::warn("{}", problem);
      return;
    }
    const std::string text = run_config_text(record_.id, record_.config);
    io::replace_file(disk_, path, std::as_bytes(std::span(text)));
  }

  bool due(std::int64_t every) const {
    return every > 0 && completed_ > 0 && completed_ % std::uint64_t(every) == 0;
  }

  bool stopped() const { return options_.stop_requested && options_.stop_requested(); }
  std::function<bool()> stop() const {
    return [this] { return stopped(); };
  }

  void note(std::string_view text) {
    if (options_.progress != nullptr) options_.progress->note(text);
  }

  // Saves the step that is done, and waits for it.
  void save() {
    claim_.keep();
    saves_->save(completed_, record_);
  }

  // A line that is written tells of all that has moved and of all the time that training stood
  // still until then: where a run waits for a checkpoint, also of that one. Where the line cannot
  // be written, mark() tries once more, and leaves it out: the step itself can still be saved.
  MarkedMetrics mark_metrics() {
    try {
      write_line();
    } catch (const io::Error&) {
      if (!metrics_->has_unwritten_line()) throw;
    }
    return {metrics_->mark(), [this] { metrics_->make_durable(); }};
  }

  // What stands between two updates can be saved, whatever else has failed.
  bool save_what_is_done() {
    if (completed_ == 0 || step_->is_updating()) return false;
    try {
      if (saves_->saved() != completed_) save();
      return true;
    } catch (const std::exception& error) {
      io::warn("step {} cannot be saved: {}", completed_, error.what());
      return false;
    }
  }

  // Runs work that changes no parameter, or has not yet when it fails: the steps so far outlive its
  // failure.
  template <typename Work>
  std::invoke_result_t<Work> or_save(const Work& work) {
    try {
      return work();
    } catch (const offload::DiskBudgetError& error) {
      saves_->finish_after_failure();
      if (!save_what_is_done())
        io::fail("{}; raise it, or give the memory fewer rows", error.what());
      io::fail("{}; step {} is saved, go on with: mneme resume {} --set tiers.disk_bytes={}",
               error.what(), completed_, config_.run.directory,
               format_bytes(2 * config_.tiers.store.disk_bytes));
    } catch (const LossNotFinite& error) {
      saves_->finish_after_failure();
      fail_diverged(error);
    } catch (const io::Error& error) {
      saves_->finish_after_failure();
      if (!save_what_is_done()) throw;
      io::fail("{}; step {} is saved, go on with: mneme resume {}", error.what(), completed_,
               config_.run.directory);
    }
  }

  [[noreturn]] void fail_diverged(const LossNotFinite& error) const {
    if (!saves_->saved()) {
      io::fail(
          "{}; train again with smaller learning rates (optimizer.learning_rate is {}, "
          "memory.optimizer.learning_rate {})",
          error.what(), config_.optimizer.learning_rate, config_.memory.optimizer.learning_rate);
    }
    io::fail(
        "{}; go on from a checkpoint with smaller rates: mneme resume {} --set "
        "optimizer.learning_rate={} --set memory.optimizer.learning_rate={} (--step takes an "
        "older one)",
        error.what(), config_.run.directory, config_.optimizer.learning_rate / 10,
        config_.memory.optimizer.learning_rate / 10);
  }

  void take_step() {
    line_ = or_save([&] { return step(completed_ + 1); });
    ++completed_;
    result_.last_loss = line_->loss;
    result_.validation_loss.reset();
    or_save([&] {
      look_ahead();
      speeds_.add(line_->tokens_per_s);
      show();
      if (evaluation_is_due()) line_->validation_loss = validate();
    });
  }

  // What comes behind a step; whether the run is to stop.
  bool finish_step() {
    const bool is_last = completed_ == static_cast<std::uint64_t>(config_.train.steps);
    if (due(config_.sample.every) || (is_last && !stopped())) or_save([&] { sample(); });
    tell();
    // Asked once a step: what a stop still has to write belongs to this step's line.
    const bool stops = stopped() || (!is_last && completed_ == last_step());
    const bool saves_end =
        (stops && options_.saves_at_stop) || (is_last && config_.checkpoint.final);
    if (saves_end || (due(config_.checkpoint.every) && !config_.checkpoint.background)) {
      save();
    } else if (due(config_.checkpoint.every)) {
      claim_.keep();
      saves_->begin(completed_, record_);
    } else if (is_last) {
      saves_->finish();
    } else {
      saves_->go_on();
    }
    or_save([&] { write_line(); });
    return stops;
  }

  // A run that had no steps left says how good it is all the same; its directory stays as it is.
  // One that was stopped before its first step can be resumed.
  void end_without_steps() {
    const bool stops = stopped() && options_.saves_at_stop;
    if (saves_->saved() != completed_ && (config_.checkpoint.final || stops)) save();
    if (evaluation_is_due()) validate();
    if (!stopped() && !due(config_.sample.every)) sample();
  }

  // The line of the last step, with all that has happened since the line before; nothing when it is
  // written.
  void write_line() {
    if (!line_) return;
    line_->times.checkpoint_ms += saves_->take_standing_still();
    if (run_->table() != nullptr) {
      line_->books = run_->table()->store().take_books();
      line_->disk_latencies = run_->table()->store().take_disk_latencies();
    }
    prefetch_->note_moves(line_->books.total());
    line_->predictions = prefetch_->take_scores();
    const StepMetrics metrics = std::move(*line_);
    line_.reset();
    metrics_->write(metrics);
    if (open_metrics_) open_metrics_->add(metrics);
    claim_.keep();
  }

  // The step itself is done, whatever has failed behind it.
  void write_line_after_failure() {
    try {
      write_line();
    } catch (const std::exception& error) {
      io::warn("a line of the metrics is left out: {}", error.what());
    }
  }

  void tell() {
    if (!options_.on_step) return;
    StepMetrics metrics = *line_;
    if (run_->table() != nullptr) metrics.books = run_->table()->store().books();
    options_.on_step(metrics);
  }

  StepMetrics step(std::uint64_t t) {
    return step_->take(
        t, [&](std::int64_t micro, Batch& batch) { data_->train_batch(t, micro, batch); },
        &*prefetch_);
  }

  // Hints the rows of the next step, whose data it may have to read; part of the step's time.
  void look_ahead() {
    const auto start = Clock::now();
    prefetch_->hint(completed_ + 1);
    line_->times.step_ms += io::elapsed_ms(start);
    line_->tokens_per_s = 1e3 * double(config_.tokens_per_step()) / line_->times.step_ms;
    const std::string decided = prefetch_->end_step(line_->times);
    if (!decided.empty()) note(decided);
  }

  // The last evaluation belongs to the last step's line of metrics.jsonl as any other does.
  bool evaluation_is_due() const {
    const bool last = completed_ == static_cast<std::uint64_t>(config_.train.steps);
    return due(config_.evaluation.every) || (last && config_.evaluation.final);
  }

  std::optional<double> validate() {
    if (data_->validation_batches() == 0) return {};
    const auto start = Clock::now();
    const auto evaluated = evaluate(*run_, *data_, completed_, stop());
    if (line_) line_->times.evaluation_ms = io::elapsed_ms(start);
    if (!evaluated) return {};
    result_.validation_loss = evaluated->loss;
    note(fmt::format("step {}: validation loss {:.4f} ({:.2f} bits a token, perplexity {:.2f})",
                     completed_, evaluated->loss, evaluated->loss / std::log(2.0),
                     std::exp(evaluated->loss)));
    return evaluated->loss;
  }

  void sample() {
    if (options_.samples == nullptr || config_.sample.tokens == 0) return;
    const auto start = Clock::now();
    const std::string text = sample_text(
        *run_, tokenizer_.get(), {completed_, config_.sample.prompt, config_.run.seed, stop()});
    if (line_) line_->times.sample_ms = io::elapsed_ms(start);
    io::print_beside_progress([&] { *options_.samples << text << "\n" << std::flush; });
  }

  void show() {
    if (options_.progress == nullptr) return;
    StepMetrics metrics = *line_;
    if (run_->table() != nullptr) metrics.books = run_->table()->store().books();
    const std::uint64_t steps = last_step();
    pace_.note(std::chrono::duration<double>(Clock::now().time_since_epoch()).count());
    const bool is_due = completed_ == 1 || completed_ == steps ||
                        completed_ % std::uint64_t(config_.train.log_every) == 0;
    options_.progress->show(step_fields(metrics, steps, pace_.seconds_for(steps - completed_),
                                        run_->table() != nullptr),
                            is_due);
    if (!is_advised_ && run_->table() != nullptr) {
      const std::string advice = device_tier_advice(metrics, run_->table()->store());
      if (!advice.empty()) note(advice);
      is_advised_ = !advice.empty();
    }
  }

  const Config& config_;
  io::Disk& disk_;
  const TrainerOptions& options_;
  RunClaim claim_;
  std::unique_ptr<text::Tokenizer> tokenizer_;  // null where ids have no text
  RunRecord record_;
  std::optional<Data> data_;
  std::optional<MetricsWriter> metrics_;  // outlives the run, whose checkpoint makes it durable
  std::optional<OpenMetricsFile> open_metrics_;
  std::optional<Run> run_;
  std::optional<TrainingSaves> saves_;
  std::optional<TrainStep> step_;
  std::optional<RowPrefetch> prefetch_;
  std::uint64_t completed_ = 0;
  std::optional<StepMetrics> line_;  // of the last step, until it is written
  RunPace pace_;
  bool is_advised_ = false;  // about the device tier
  RecentMedian speeds_;
  TrainResult result_;
};

}  // namespace

TrainResult train(const Config& config, io::Disk& disk, const TrainerOptions& options) {
  Config chosen = config;
  if (chosen.tiers.automatic.any()) choose_tiers(chosen, free_memory(chosen, disk));
  return Training(chosen, disk, options).train();
}

}  // namespace mneme::engine
