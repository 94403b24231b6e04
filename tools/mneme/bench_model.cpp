// mneme bench model: training steps of any configuration on random tokens.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

#include "engine/progress.h"
#include "engine/run.h"
#include "engine/train_step.h"
#include "io/disk.h"
#include "tools/mneme/commands.h"

namespace mneme::tools {
namespace {

constexpr std::uint64_t kWarmupSteps = 2;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// The folder of the rows file, beside the run's own directory; gone afterwards.
class ScratchDirectory {
 public:
  explicit ScratchDirectory(const std::string& run) : path_(run + ".bench") {
    std::filesystem::remove_all(path_);
  }
  ~ScratchDirectory() {
    std::error_code ignored;  // the numbers matter more than a folder that stayed
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

int run_bench_model(const BenchModelOptions& options) {
  engine::Config config = engine::load_config(options.config, options.overrides);
  const ScratchDirectory scratch(config.run.directory);
  config.run.directory = scratch.path();
  const auto disk = io::make_posix_disk();
  engine::Run run(config, *disk);
  run.initialize();
  engine::TrainStep step(run);
  std::mt19937_64 random(config.run.seed);
  const auto draw = [&](std::int64_t, engine::Batch& batch) {
    const auto count = static_cast<std::size_t>(config.tokens_per_micro_batch());
    batch.tokens.resize(count);
    batch.targets.resize(count);
    for (auto* ids : {&batch.tokens, &batch.targets}) {
      for (std::int32_t& id : *ids) {
        id = static_cast<std::int32_t>(random() %
                                       static_cast<std::uint64_t>(config.data.vocabulary));
      }
    }
  };
  std::vector<engine::StepMetrics> all;
  for (std::uint64_t t = 1; t <= kWarmupSteps + static_cast<std::uint64_t>(options.steps); ++t) {
    engine::StepMetrics metrics = step.take(t, draw);
    if (t > kWarmupSteps) all.push_back(metrics);
  }
  const auto median_of = [&](auto member) {
    std::vector<double> values;
    for (const engine::StepMetrics& metrics : all) values.push_back(member(metrics));
    return median(values);
  };
  using Metrics = engine::StepMetrics;
  const double step_ms = median_of([](const Metrics& m) { return m.times.step_ms; });
  const double forward_ms = median_of([](const Metrics& m) { return m.times.forward_ms; });
  const double backward_ms = median_of([](const Metrics& m) { return m.times.backward_ms; });
  const double update_ms = median_of([](const Metrics& m) { return m.times.update_ms; });
  const double stall_ms = median_of([](const Metrics& m) { return m.times.acquire_stall_ms; });
  const double rows = median_of([](const Metrics& m) { return double(m.distinct_rows); });
  const double tokens_per_s = 1e3 * double(config.tokens_per_step()) / step_ms;
  const std::int64_t parameters = run.model().parameters().parameter_count();
  if (options.json) {
    const nlohmann::ordered_json object = {{"config", options.config},
                                           {"dense_parameters", parameters},
                                           {"tokens_per_step", config.tokens_per_step()},
                                           {"steps", options.steps},
                                           {"tokens_per_s", tokens_per_s},
                                           {"step_ms", step_ms},
                                           {"forward_ms", forward_ms},
                                           {"backward_ms", backward_ms},
                                           {"update_ms", update_ms},
                                           {"acquire_stall_ms", stall_ms},
                                           {"distinct_rows", rows}};
    fmt::print("{}\n", object.dump());
    return 0;
  }
  fmt::print("{}: {} dense parameters, {} tokens a step, on {}\n", options.config, parameters,
             config.tokens_per_step(), run.backend().name());
  fmt::print("{:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>12}\n", "tokens/s", "step ms", "forward",
             "backward", "update", "stall", "rows a step");
  fmt::print("{:>10.0f} {:>10.1f} {:>10.1f} {:>10.1f} {:>10.1f} {:>10.1f} {:>12.0f}\n",
             tokens_per_s, step_ms, forward_ms, backward_ms, update_ms, stall_ms, rows);
  return 0;
}

}  // namespace mneme::tools
