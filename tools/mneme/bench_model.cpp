// mneme bench model: training steps of any configuration, on its data or on random tokens.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "engine/config_reader.h"
#include "engine/data.h"
#include "engine/model_costs.h"
#include "engine/run.h"
#include "engine/tier_choice.h"
#include "engine/train_step.h"
#include "io/disk.h"
#include "io/elapsed.h"
#include "io/error.h"
#include "io/progress.h"
#include "tools/mneme/bench_model.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/fill_rows.h"
#include "tools/mneme/interrupt.h"
#include "tools/mneme/popularity.h"
#include "tools/mneme/scratch_folder.h"

namespace mneme::tools {
namespace {

using Clock = std::chrono::steady_clock;

// The same run with a table of 1/scale^2 as many rows, and in proportion its tiers, the tokens of a
// step and the vocabulary: each step touches about the same share of the table. The disk's limit
// stays, for it decides nothing but when a run must end.
engine::Config scaled(engine::Config config, std::int64_t scale) {
  if (scale == 1) return config;
  if (!config.has_memory() || config.memory.half_keys / scale < config.memory.knn) {
    io::fail("--scale {} leaves fewer half-keys than memory.knn = {}; take a smaller one", scale,
             config.memory.knn);
  }
  const std::int64_t area = scale * scale;
  const auto share = static_cast<std::uint64_t>(area);
  config.memory.half_keys /= scale;
  config.tiers.store.device_bytes /= share;
  config.tiers.store.host_bytes /= share;
  config.data.vocabulary = std::max<std::int64_t>(2, config.data.vocabulary / area);
  const std::int64_t tokens = std::max<std::int64_t>(1, config.tokens_per_micro_batch() / area);
  config.train.batch = std::max<std::int64_t>(1, tokens / config.train.sequence);
  config.train.sequence = tokens / config.train.batch;
  config.sample.tokens = 0;  // a benchmark samples nothing, and the prompt may not fit
  engine::check_config(config);
  return config;
}

double fill(engine::Run& run, const InterruptGuard& interrupt) {
  if (run.table() == nullptr)
    io::fail("--fill-rows: no layer of model.feed_forward reads a table, so there are no rows");
  io::Phase phase("touching every row", run.config().table_rows(), "rows");
  const auto start = Clock::now();
  fill_rows(run.backend(), run.stream(), run.table()->store(), [&](std::uint64_t done) {
    interrupt.check();
    phase.reach(done);
  });
  return 1e-3 * io::elapsed_ms(start);
}

// The tokens of the steps: text where the configuration has it here, else drawn at random.
class Tokens {
 public:
  Tokens(const engine::Config& config, const BenchModelOptions& options, const io::Disk& disk)
      : config_(config),
        random_(static_cast<std::uint64_t>(config.data.vocabulary), options.token_skew.value_or(0),
                config.run.seed) {
    // A scaled configuration has a smaller vocabulary than its data.
    const bool wanted = !options.token_skew && options.scale == 1;
    if (wanted && disk.exists(config.data.path)) data_.emplace(engine::data_options(config));
    described_ = data_ ? "tokens of " + config.data.path
                       : fmt::format("random tokens, skew {}", options.token_skew.value_or(0));
  }

  const std::string& described() const { return described_; }
  std::vector<engine::Batch> draw_step(std::uint64_t step) {
    std::vector<engine::Batch> batches(static_cast<std::size_t>(config_.train.micro_batches));
    for (std::size_t micro = 0; micro < batches.size(); ++micro) {
      if (data_) {
        data_->train_batch(step, static_cast<std::int64_t>(micro), batches[micro]);
        continue;
      }
      for (auto* ids : {&batches[micro].tokens, &batches[micro].targets}) {
        ids->resize(static_cast<std::size_t>(config_.tokens_per_micro_batch()));
        for (std::int32_t& id : *ids) id = static_cast<std::int32_t>(random_.next());
      }
    }
    return batches;
  }

 private:
  const engine::Config& config_;
  Popularity random_;
  std::optional<engine::Data> data_;
  std::string described_;
};

void take_steps(engine::Run& run, Tokens& tokens, const BenchModelOptions& options,
                const InterruptGuard& interrupt, ModelBenchmark& benchmark) {
  engine::TrainStep step(run, /*will_be_saved=*/false);
  // What filled the rows is no step's.
  if (run.table() != nullptr) run.table()->store().take_books();
  const std::int64_t all = options.warm_up + options.steps;
  io::Phase phase("training", static_cast<std::uint64_t>(all), "steps");
  for (std::int64_t t = 1; t <= all; ++t) {
    interrupt.check();
    // Drawn before the step's time starts.
    const std::vector<engine::Batch> batches = tokens.draw_step(static_cast<std::uint64_t>(t));
    engine::StepMetrics metrics =
        step.take(static_cast<std::uint64_t>(t), [&](std::int64_t micro, engine::Batch& batch) {
          batch = batches[static_cast<std::size_t>(micro)];
        });
    if (run.table() != nullptr) metrics.books = run.table()->store().take_books();
    if (t > options.warm_up) benchmark.steps.push_back(metrics);
    phase.reach(static_cast<std::uint64_t>(t));
  }
}

}  // namespace

ModelBenchmark measure_model(engine::Config config, const BenchModelOptions& options,
                             const InterruptGuard& interrupt) {
  // The folder of the rows file, beside the run's own directory.
  const ScratchFolder scratch(config.run.directory + ".bench");
  config.run.directory = scratch.path();
  const auto disk = io::make_posix_disk();
  choose_tiers(config, engine::free_memory(config, *disk));
  Tokens tokens(config, options, *disk);
  const auto start = Clock::now();
  engine::Run run(config, *disk);
  run.initialize();
  run.stream().synchronize();
  const engine::ModelCosts costs = engine::model_costs(config);
  ModelBenchmark benchmark{.config = options.config,
                           .device = run.backend().name(),
                           .products = run.backend().product_library(),
                           .tokens = tokens.described(),
                           .dense_parameters = run.model().parameters().parameter_count(),
                           .tokens_per_step = config.tokens_per_step(),
                           .flops_per_token = costs.forward.total() + costs.backward.total(),
                           .warm_up = options.warm_up,
                           .open_seconds = 1e-3 * io::elapsed_ms(start),
                           .steps = {},
                           .use = {}};
  if (options.fill_rows) benchmark.fill_seconds = fill(run, interrupt);
  take_steps(run, tokens, options, interrupt, benchmark);
  if (run.table() != nullptr) {
    benchmark.use = run.table()->store().tier_use();
    benchmark.record_bytes = run.table()->store().options().layout.record_bytes();
  }
  return benchmark;
}

int run_bench_model(const BenchModelOptions& options) {
  const InterruptGuard interrupt;
  io::ProgressDisplay progress(std::cerr, io::standard_error_progress());
  const ModelBenchmark benchmark =
      measure_model(scaled(engine::load_config(options.config, options.overrides), options.scale),
                    options, interrupt);
  const std::string text = options.json ? json_text(benchmark) : plain_text(benchmark);
  fmt::print("{}", text);
  return 0;
}

}  // namespace mneme::tools
