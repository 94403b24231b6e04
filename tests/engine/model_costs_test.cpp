// What is said of a configuration is what its model turns out to have.
#include "engine/model_costs.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "engine/config_scale.h"
#include "engine/run.h"
#include "engine/run_options.h"
#include "tests/engine/run_configs.h"
#include "tests/engine/tiny_run.h"
#include "tests/io/temporary_directory.h"

namespace mneme::engine {
namespace {

namespace fs = std::filesystem;

Config load(const std::string& name, const std::vector<std::string>& overrides = {}) {
  return load_config(std::string(MNEME_SOURCE_DIR) + "/configs/" + name, overrides);
}

// "134M", "7.2B" as they stand in the comments of configurations.
void expect_rounds_to(double value, const std::string& text) {
  const double unit = text.ends_with("B") ? 1e9 : 1e6;
  const std::size_t point = text.find('.');
  const double step = point == text.npos ? 1 : std::pow(10, -double(text.size() - point - 2));
  EXPECT_LE(std::abs(value / unit - std::stod(text)), step / 2)
      << value << " is said to be " << text;
}

// The word that stands behind `before` in the text, across the ends of its lines; empty without.
std::string word_after(const std::string& text, const std::string& before) {
  const std::size_t found = text.find(before);
  if (found == text.npos) return {};
  std::istringstream rest(text.substr(found + before.size()));
  std::string word;
  rest >> word;
  return word;
}

TEST(ModelCosts, ArePublishedSizesOfThePapersModels) {
  // Memory Layers at Scale: 64M values of 2048 columns, its "128B" parameters; 1M values of 768.
  EXPECT_EQ(model_costs(load("paper/1.3b-memory-8192.toml")).table.parameters, 137438953472u);
  EXPECT_EQ(model_costs(load("paper/134m-memory-1024.toml")).table.parameters, 805306368u);
  int seen = 0;
  for (const std::string& name : testing::run_configs()) {
    if (!name.starts_with("paper/")) continue;
    SCOPED_TRACE(name);
    std::string head;
    std::getline(std::ifstream(std::string(MNEME_SOURCE_DIR) + "/configs/" + name), head, '[');
    const ModelCosts costs = model_costs(load(name));
    const ModelCosts dense = model_costs(load(name, {"model.feed_forward=dense"}));
    expect_rounds_to(double(dense.parameters.total()), word_after(head, " base: "));
    const std::string made = word_after(head, " make it ");
    EXPECT_EQ(costs.parameters.experts > 0, !made.empty());
    if (!made.empty()) {
      expect_rounds_to(double(costs.parameters.total()), made.substr(0, made.size() - 1));
    }
    const std::string added = word_after(head, " adds ");
    EXPECT_EQ(costs.table.rows > 0, !added.empty());
    if (costs.table.rows == 0) continue;
    expect_rounds_to(double(costs.table.parameters), added);
    std::string gib = word_after(head, " rows are ");
    std::erase(gib, ',');
    ASSERT_FALSE(gib.empty());
    EXPECT_LE(std::abs(double(costs.table.bytes) / double(1 << 30) - std::stod(gib)), 0.5);
    ++seen;
  }
  EXPECT_EQ(seen, 25);
}

// "134M", "7.24B"; "9.03 GiB", "1.5 TiB": as configs/README.md writes them.
std::string rounded(double count) {
  return count >= 1e9 ? fmt::format("{:.3g}B", count / 1e9) : fmt::format("{:.3g}M", count / 1e6);
}
std::string rounded_bytes(double bytes) {
  const double gib = bytes / double(1 << 30);
  return gib < 1024 ? fmt::format("{:.3g} GiB", gib) : fmt::format("{:.3g} TiB", gib / 1024);
}

TEST(ModelCosts, StandInTheReadmeOfTheConfigurations) {
  std::string readme;
  std::getline(std::ifstream(std::string(MNEME_SOURCE_DIR) + "/configs/README.md"), readme, '\0');
  for (const std::string& name : testing::run_configs()) {
    if (!name.starts_with("paper/")) continue;
    const ModelCosts costs = model_costs(load(name));
    const bool has_table = costs.table.rows > 0;
    const auto forward = double(costs.forward.total());
    const std::string line = fmt::format(
        "\n| {} | {} | {} | {} | {} | {} | {:.3g} | {:.3g} |\n", fs::path(name).stem().string(),
        rounded(double(costs.parameters.total())),
        has_table ? rounded(double(costs.table.parameters)) : "",
        rounded(double(costs.active_parameters)),
        rounded_bytes(double(costs.weight_bytes + costs.gradient_bytes + costs.moment_bytes)),
        has_table ? rounded_bytes(double(costs.table.bytes)) : "", forward / 1e9,
        (forward + double(costs.backward.total())) / 1e9);
    EXPECT_NE(readme.find(line), readme.npos) << "configs/README.md lacks" << line;
  }
}

// Counted by hand for C = 16, 2 heads of width 8, 1 key-value head, 24 hidden, 3 blocks, memory in
// two of them with 2 heads, 3 rows, 16 half-keys of width 8; 12 positions, 256 tokens.
TEST(ModelCosts, CountProductsAndSumsOnce) {
  const ModelCosts costs = model_costs(testing::TinyRun().config("run"));
  EXPECT_EQ(costs.parameters.attention, 3 * (2 * 16 * 16 + 2 * 8 * 16));
  EXPECT_EQ(costs.parameters.feed_forward, 3 * 24 * 16);
  EXPECT_EQ(costs.parameters.half_keys, 2 * 2 * 2 * 16 * 4);
  EXPECT_EQ(costs.parameters.memory_projections,
            2 * (16 * 16 + 16 + 2 * (16 * 16 + 16)));  // query; gate_in and value_out
  EXPECT_EQ(costs.parameters.norms, 7 * 16);
  const std::int64_t products =
      3 * 768 + 3 * 24 * 16 + 2 * 3 * 16 * 16 + 256 * 16;  // ... and the output head
  EXPECT_EQ(costs.forward.weights, 2 * products);
  EXPECT_EQ(costs.backward.weights, 4 * products);
  // 78 of 144 pairs of positions count, a product of 16 for the score and one for the value.
  EXPECT_EQ(costs.forward.attention * 12, 3 * 78 * 2 * 2 * 16);
  EXPECT_EQ(costs.forward.keys, 2 * costs.parameters.half_keys);
  EXPECT_EQ(costs.backward.keys, 2 * 2 * 3 * (2 * 2 * 2 * 4));  // two sides, query and key
  EXPECT_EQ(costs.forward.rows, 2 * 2 * 3 * 2 * 16);
  EXPECT_EQ(costs.backward.rows, 2 * costs.forward.rows);
  EXPECT_EQ(costs.table.gather_bytes_per_token, 2u * 2 * 3 * 16 * 4);
  EXPECT_EQ(costs.active_parameters, costs.parameters.total() - 255 * 16 + 12 * 16);
}

// Every configuration, in small enough for this machine: the model is made and compared.
TEST(ModelCosts, AreThoseOfTheModelThatIsMade) {
  const auto disk = io::make_posix_disk();
  const mneme::test::TemporaryDirectory folder;
  int made = 0;
  for (const std::string& name : testing::run_configs()) {
    SCOPED_TRACE(name);
    Config config = scaled_down(load(name), 64);
    config.run.directory = folder.file("run");
    config.run.device = DeviceKind::kCpu;
    config.run.threads = 1;
    const ModelCosts costs = model_costs(config);
    engine::Run run(config, *disk);
    EXPECT_EQ(costs.parameters.total(), run.model().parameters().parameter_count());
    EXPECT_EQ(costs.weight_bytes, 4 * run.model().parameters().size());
    if (run.table() != nullptr) {
      const auto use = run.table()->store().tier_use();
      EXPECT_EQ(costs.table.tiers.training, use.device_slots);
      EXPECT_EQ(costs.table.tiers.host, use.host_slots);
      EXPECT_EQ(costs.table.record_bytes, run.table()->store().options().layout.record_bytes());
    }
    ++made;
  }
  EXPECT_GE(made, 35);
}

TEST(ScaledDown, KeepsShapeAndShares) {
  const Config whole = load("paper/8b-memory-8192.toml");
  const Config small = scaled_down(whole, 8);
  EXPECT_EQ(small.model.width, 512);
  EXPECT_EQ(small.model.attention_heads, 4);
  EXPECT_EQ(small.model.kv_heads, 1);
  EXPECT_EQ(small.model.blocks, whole.model.blocks);
  EXPECT_EQ(small.memory.half_keys, 1024);
  EXPECT_EQ(small.train.sequence, 256);
  EXPECT_EQ(small.train.micro_batches, 2);
  const auto share = [](const Config& config) {
    const ModelCosts costs = model_costs(config);
    return double(costs.table.tiers.host) / double(costs.table.rows);
  };
  EXPECT_NEAR(share(small), share(whole), 0.02 * share(whole));
  EXPECT_EQ(to_toml(scaled_down(whole, 1)), to_toml(whole));
}

TEST(ScaledDown, EveryConfigurationTakesEveryScale) {
  for (const std::string& name : testing::run_configs()) {
    const Config whole = load(name);
    for (const std::int64_t scale : {2, 3, 5, 7, 12, 100, 1024}) {
      SCOPED_TRACE(::testing::Message() << name << " --scale " << scale);
      Config small;
      ASSERT_NO_THROW(small = scaled_down(whole, scale));
      EXPECT_NO_THROW(model_costs(small));
      EXPECT_LT(model_costs(small).parameters.total(), model_costs(whole).parameters.total());
    }
  }
}

}  // namespace
}  // namespace mneme::engine
