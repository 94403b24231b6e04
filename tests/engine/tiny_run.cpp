#include "tests/engine/tiny_run.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

namespace mneme::engine::testing {

void expect_same(const Outcome& found, const Outcome& expected) {
  ASSERT_EQ(found.losses.size(), expected.losses.size());
  for (std::size_t i = 0; i < expected.losses.size(); ++i) {
    ASSERT_EQ(found.losses[i].first, expected.losses[i].first);
    EXPECT_EQ(found.losses[i].second, expected.losses[i].second)
        << "loss of step " << found.losses[i].first;
  }
  EXPECT_TRUE(same_bits(found.table, expected.table)) << "the value table differs";
  ASSERT_EQ(found.dense.size(), expected.dense.size());
  for (const auto& [name, values] : expected.dense) {
    const auto same = found.dense.find(name);
    ASSERT_NE(same, found.dense.end()) << name;
    EXPECT_TRUE(same_bits(same->second, values)) << name;
  }
}

std::vector<std::pair<std::uint64_t, double>> read_losses(const io::Disk& disk,
                                                          const std::string& directory) {
  constexpr std::uint64_t kMostBytes = 64 << 20;
  std::vector<std::pair<std::uint64_t, double>> losses;
  if (!disk.exists(metrics_path(directory))) return losses;
  const std::vector<std::byte> bytes = disk.read_file(metrics_path(directory), kMostBytes);
  std::istringstream file(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  for (std::string line; std::getline(file, line);) {
    const nlohmann::json object = nlohmann::json::parse(line);
    losses.emplace_back(object.at("step"), object.at("loss"));
  }
  return losses;
}
std::vector<std::pair<std::uint64_t, double>> read_losses(const std::string& directory) {
  return read_losses(*io::make_posix_disk(), directory);
}

TinyRun::TinyRun() {
  // Words drawn by a small generator: enough structure to learn something, the same everywhere.
  static constexpr const char* kWords[] = {"row",  "slot", "lease", "the ", "memory", "key ",
                                           "warm", "cold", "hot ",  "disk", "page",   "in "};
  std::string text;
  for (std::uint32_t state = 12345; text.size() < 3000;) {
    state = state * 1664525u + 1013904223u;
    text += kWords[(state >> 16) % std::size(kWords)];
    text += ' ';
  }
  std::ofstream(data_path()) << text;
}

Config TinyRun::config(const std::string& name) const {
  Config config;
  config.run.directory = path(name);
  config.run.seed = 7;
  config.run.device = DeviceKind::kCpu;
  config.run.threads = 1;
  config.run.device = mneme::testing::backends_under_test().front().has_threads ? DeviceKind::kCpu
                                                                                : DeviceKind::kCuda;
  config.run.arena_bytes = 128 << 20;
  config.tiers.prefetch_history_bytes = 1 << 20;
  config.data.path = data_path();
  config.model.width = 16;
  config.model.blocks = 3;
  config.model.attention_heads = 2;
  config.model.kv_heads = 1;
  config.model.feed_forward_hidden = 24;
  config.model.feed_forward = {FeedForwardKind::kMemory, {1, 2}};
  config.memory.heads = 2;
  config.memory.knn = 3;
  config.memory.half_keys = 16;
  config.memory.key_width = 8;
  config.memory.optimizer.learning_rate = 2e-2;
  config.tiers.store.device_bytes = device_bytes(kRows);
  config.tiers.store.host_bytes = 0;
  config.tiers.store.evaluation_share = 0.5;
  config.train.steps = kSteps;
  config.train.batch = 1;
  config.train.sequence = 12;
  config.train.micro_batches = 2;
  config.train.warmup_steps = 2;
  config.optimizer.learning_rate = 1e-2;
  config.evaluation.every = 0;
  config.evaluation.batches = 2;
  config.sample.tokens = 0;
  return config;
}

Config TinyRun::tiered(const std::string& name) const {
  Config made = config(name);
  made.tiers.store.device_bytes = device_bytes(64);
  made.tiers.store.host_bytes = host_bytes(48);
  return made;
}

TrainResult TinyRun::train(const Config& config, TrainerOptions options) {
  check_config(config);
  return engine::train(config, *disk_, options);
}

TrainResult TinyRun::train_until(const Config& config, std::uint64_t steps,
                                 TrainerOptions options) {
  std::uint64_t done = 0;
  options.on_step = [&](const StepMetrics& metrics) { done = metrics.step; };
  options.stop_requested = [&, steps] { return done >= steps; };
  return train(config, options);
}

Outcome TinyRun::outcome(const Config& config, io::Disk& disk, std::optional<std::uint64_t> of) {
  Config whole = config;
  whole.tiers = this->config("").tiers;
  whole.tiers.disk_paths = config.tiers.disk_paths;
  const RunDirectory directory(disk, config.run.directory);
  Run run(whole, disk,
          {.id = directory.manifest().run.id, .schedule = directory.manifest().run.schedule});
  const std::uint64_t step = run.load(directory.manifest(), of).step;
  Outcome outcome;
  outcome.losses = read_losses(disk, config.run.directory);
  if (run.table() != nullptr) {
    const std::int64_t rows = config.table_rows();
    outcome.table.resize(std::size_t(rows) *
                         std::size_t(config.row_parts() * config.value_width()));
    run.table()->read_values(step, 0, rows, outcome.table);
  }
  const Parameters& parameters = run.model().parameters();
  for (const auto& [buffer, prefix] : {std::pair(ParameterBuffer::kValues, "value "),
                                       std::pair(ParameterBuffer::kMoment1, "moment 1 "),
                                       std::pair(ParameterBuffer::kMoment2, "moment 2 ")}) {
    for (const Parameter& parameter : parameters.directory()) {
      outcome.dense[prefix + parameter.declaration.name] =
          parameters.read(run.stream(), buffer, parameter);
    }
  }
  return outcome;
}

}  // namespace mneme::engine::testing
