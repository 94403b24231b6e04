// Hints of the coming step's rows.
#include "engine/prefetch/row_prefetch.h"

#include <gtest/gtest.h>

#include <sstream>

#include "tests/engine/tiny_run.h"

namespace mneme::engine {
namespace {

using testing::TinyRun;

// A configuration may list other blocks than the model was built with, as when it was edited since.
TEST(RowPrefetch, AsksOnlyBlocksThatAreMemoryLayers) {
  TinyRun tiny;
  Config config = tiny.tiered("run");
  config.memory.blocks = {2};
  config.tiers.prefetch = memory::PredictorKind::kOracleNextStep;
  config.tiers.prefetch_bytes = 1 << 20;
  config.train.steps = 2;
  tiny.train(config);
  const Manifest manifest = RunDirectory(tiny.disk(), config.run.directory).manifest();
  engine::Run run(config, tiny.disk(), {.id = manifest.run.id, .schedule = {}});
  const std::uint64_t step = run.load(manifest).step;
  Config other = config;
  other.memory.blocks = {0, 1, 2};
  other.train.steps = 3;
  const Data data(data_options(config));
  RowPrefetch prefetch(other, data, run);
  prefetch.hint(step + 1);
  // All touched rows are on disk yet: those that the step will read are on their way.
  EXPECT_GT(run.table()->store().books().total().disk_rows_read(), 0u);
}

TEST(RowPrefetch, PredictorsAreScoredStepByStep) {
  TinyRun tiny;
  Config config = tiny.tiered("run");
  config.tiers.prefetch = memory::PredictorKind::kUnion;
  config.tiers.lookahead_distances = {0, 1};
  config.train.micro_batches = 2;
  tiny.train(config);
  const auto bytes = tiny.disk().read_file(metrics_path(config.run.directory), 1 << 20);
  std::istringstream text(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
  ASSERT_FALSE(lines.empty());
  // Of the first step nothing was known but what came while it ran.
  for (const nlohmann::json& one : lines.front().at("predictions")) {
    EXPECT_EQ(one.at("predictor"), "lookahead");
  }
  const nlohmann::json& predictions = lines.back().at("predictions");
  // Three histories, two distances, the next batch, and their union, for each memory layer.
  EXPECT_EQ(predictions.size(), 7 * config.memory.blocks.size());
  for (const nlohmann::json& one : predictions) {
    EXPECT_GT(one.at("read"), 0);
    EXPECT_GT(one.at("hits"), 0);
    EXPECT_LE(one.at("hits"), one.at("read"));
    EXPECT_LE(one.at("hits"), one.at("predicted"));
    std::uint64_t before = 0;
    for (const nlohmann::json& at : one.at("at")) {
      EXPECT_GE(at.at("hits"), before);
      before = at.at("hits");
    }
  }
}

}  // namespace
}  // namespace mneme::engine
