// Speed of a whole training step: model_benchmark CONFIG [--json]. Reads a run's configuration and
// trains its dense model (memory blocks need a value table and are measured by `mneme bench`) on
// random tokens for some steps; prints the median step time.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <random>

#include "engine/config.h"
#include "engine/model.h"
#include "engine/optimizer.h"
#include "io/error.h"

namespace {

using namespace mneme;

constexpr int kWarmupSteps = 2;
constexpr int kSteps = 9;

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

engine::ModelOptions options_from(const engine::Config& config) {
  engine::ModelOptions options;
  options.vocabulary = config.data.vocabulary;
  options.width = config.model.width;
  options.blocks = config.model.blocks;
  options.attention_heads = config.model.attention_heads;
  options.kv_heads = config.model.kv_heads;
  options.feed_forward_hidden = config.model.feed_forward_hidden;
  options.rope_theta = config.model.rope_theta;
  options.norm_epsilon = config.model.norm_epsilon;
  options.tied_output = config.model.tied_output;
  options.batch = config.train.batch;
  options.sequence = config.train.sequence;
  return options;
}

void run(const std::string& path, bool json) {
  const engine::Config config = engine::load_config(path);
  if (config.has_memory()) io::fail("{}: model_benchmark measures dense models only", path);
  const engine::ModelOptions options = options_from(config);
  const auto backend = kernels::make_cpu_backend({.threads = static_cast<int>(config.run.threads)});
  const auto stream = backend->create_stream();
  engine::Model model(*backend, options, nullptr);
  model.parameters().initialize(*stream, config.run.seed);
  engine::DenseOptimizer optimizer(*backend, model.parameters(),
                                   {.learning_rate = [](std::uint64_t) { return 1e-4; }});
  std::mt19937_64 random(1);
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(options.tokens()) + 1);
  for (std::int32_t& token : tokens) {
    token = static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(options.vocabulary));
  }
  const engine::MicroBatch batch{.tokens = std::span(tokens).first(tokens.size() - 1),
                                 .targets = std::span(tokens).last(tokens.size() - 1),
                                 .batch = options.batch,
                                 .sequence = options.sequence};
  std::vector<double> seconds, cpu_seconds;  // processor time is steadier on a shared machine
  double loss = 0;
  for (int step = 1; step <= kWarmupSteps + kSteps; ++step) {
    const auto start = std::chrono::steady_clock::now();
    const std::clock_t cpu_start = std::clock();
    model.begin_step(*stream);
    model.forward_backward(*stream, batch, 1.0);
    optimizer.step(*stream, static_cast<std::uint64_t>(step));
    loss = model.take_loss(*stream);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    if (step <= kWarmupSteps) continue;
    seconds.push_back(taken.count());
    cpu_seconds.push_back(static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC);
  }
  const double median = median_of(seconds);
  const double cpu = median_of(cpu_seconds);
  const double rate = static_cast<double>(options.tokens()) / median;
  if (json) {
    fmt::print(
        "{{\"tokens_per_s\": {:.1f}, \"step_ms\": {:.3f}, \"step_cpu_ms\": {:.3f}, "
        "\"parameters\": {}, \"loss\": {:.4f}}}\n",
        rate, median * 1e3, cpu * 1e3, model.parameters().parameter_count(), loss);
  } else {
    fmt::print(
        "{}: {} parameters, {:.1f} ms ({:.1f} of CPU) a step, {:.0f} tokens/s, loss {:.4f}\n",
        backend->name(), model.parameters().parameter_count(), median * 1e3, cpu * 1e3, rate, loss);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bool json = argc == 3 && std::strcmp(argv[2], "--json") == 0;
  if (argc != 2 && !json) {
    std::fprintf(stderr, "usage: model_benchmark CONFIG [--json]\n");
    return 2;
  }
  try {
    run(argv[1], json);
  } catch (const io::Error& error) {
    std::fprintf(stderr, "model_benchmark: %s\n", error.what());
    return 1;
  }
  return 0;
}
