// Hints of the coming step's rows.
#include "engine/prefetch/row_prefetch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "engine/metrics_reader.h"
#include "io/safetensors.h"
#include "tests/engine/tiny_run.h"

namespace mneme::engine {
namespace {

using testing::TinyRun;

std::vector<StepMetrics> lines_of(TinyRun& tiny, const Config& config) {
  tiny.train(config);
  return read_metrics(tiny.disk(), metrics_path(config.run.directory));
}

// A configuration may list other blocks than the model was built with, as when it was edited since.
TEST(RowPrefetch, AsksOnlyBlocksThatAreMemoryLayers) {
  TinyRun tiny;
  Config config = tiny.tiered("run");
  config.model.feed_forward = {FeedForwardKind::kMemory, {2}};
  config.tiers.prefetch = memory::PredictorKind::kOracleNextStep;
  config.tiers.prefetch_bytes = 1 << 20;
  config.train.steps = 2;
  tiny.train(config);
  const Manifest manifest = RunDirectory(tiny.disk(), config.run.directory).manifest();
  engine::Run run(config, tiny.disk(), {.id = manifest.run.id, .schedule = {}});
  const std::uint64_t step = run.load(manifest).step;
  Config other = config;
  other.model.feed_forward = {FeedForwardKind::kMemory, {0, 1, 2}};
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
  const std::vector<StepMetrics> lines = lines_of(tiny, config);
  ASSERT_FALSE(lines.empty());
  // Of the first step nothing was known but what came while it ran.
  for (const PredictionMetrics& one : lines.front().predictions) {
    EXPECT_EQ(one.predictor, memory::PredictorKind::kLookahead);
  }
  // Three histories, two distances, the next batch, and their union, for each memory layer.
  EXPECT_EQ(lines.back().predictions.size(), 7 * config.table_blocks().size());
  for (const PredictionMetrics& one : lines.back().predictions) {
    EXPECT_GT(one.score.read, 0u);
    EXPECT_GT(one.score.hits, 0u);
    EXPECT_LE(one.score.hits, one.score.read);
    EXPECT_LE(one.score.hits, one.score.predicted);
    EXPECT_TRUE(std::is_sorted(one.score.hits_at.begin(), one.score.hits_at.end()));
    EXPECT_LE(one.hints.brought, one.hints.hinted);
    EXPECT_LE(one.hints.used, one.hints.brought);
    EXPECT_LE(one.hints.late, one.hints.used);
  }
}

// What is said of a predictor and layer adds up to what the store's books say of all.
TEST(RowPrefetch, HintScoresAddUpToTheBooks) {
  using offload::Field;
  TinyRun tiny;
  Config config = tiny.tiered("run");
  config.tiers.prefetch = memory::PredictorKind::kNextBatch;
  config.tiers.prefetch_confidence = 0.1;
  config.train.micro_batches = 2;
  memory::HintScore scored;
  offload::Entry all;
  for (const StepMetrics& line : lines_of(tiny, config)) {
    for (const PredictionMetrics& one : line.predictions) scored += one.hints;
    all += line.books.total();
  }
  const std::uint64_t brought = all[Field::kHintsPlanned] - all[Field::kHintsPromoted];
  EXPECT_GT(scored.used, 0u);
  // A row that has lost its place may be brought once more for the same step.
  EXPECT_LE(scored.brought, brought);
  EXPECT_GE(scored.brought + all[Field::kHintsWasted], brought);
  // One that lost its place may be read all the same.
  EXPECT_LE(scored.used, all[Field::kHintsUsed] + all[Field::kHintsWasted]);
}

class PredictorFile : public ::testing::Test {
 protected:
  Config config(const std::string& name) {
    Config config = tiny_.tiered(name);
    config.tiers.prefetch = memory::PredictorKind::kUnion;
    return config;
  }
  std::map<std::string, std::vector<double>> learned(const Config& config) {
    const io::SafetensorsReader reader(tiny_.disk(), predictors_path(config.run.directory));
    std::map<std::string, std::vector<double>> all;
    for (const io::TensorInfo& info : reader.tensors()) {
      all[info.name] = reader.read_f64(info.name);
    }
    return all;
  }
  void stop_after(const Config& config, std::uint64_t step) {
    TrainerOptions options;
    bool stops = false;
    options.on_step = [&](const StepMetrics& metrics) { stops = metrics.step >= step; };
    options.stop_requested = [&] { return stops; };
    tiny_.train(config, options);
  }
  void resume(const Config& config) {
    TrainerOptions options;
    options.resume = true;
    tiny_.train(config, options);
  }

  TinyRun tiny_;
};

TEST_F(PredictorFile, AResumedRunGoesOnWithWhatWasLearned) {
  tiny_.train(config("whole"));
  const auto whole = learned(config("whole"));
  EXPECT_FALSE(whole.empty());
  const Config parts = config("parts");
  stop_after(parts, 3);
  EXPECT_NE(learned(parts), whole);
  resume(parts);
  EXPECT_EQ(learned(parts), whole);
}

TEST_F(PredictorFile, AMissingOrBrokenOneStartsAfreshAndChangesNoResult) {
  tiny_.train(config("whole"));
  const std::vector<std::byte> other =
      tiny_.disk().read_file(predictors_path(config("whole").run.directory), 1 << 24);
  for (const char* what : {"missing", "cut", "other"}) {
    SCOPED_TRACE(what);
    const Config parts = config(what);
    stop_after(parts, 3);
    const std::string path = predictors_path(parts.run.directory);
    if (what == std::string("missing")) {
      tiny_.disk().remove(path);
    } else {
      // Of another run, or what a torn write leaves.
      const std::span<const std::byte> bytes(other);
      io::replace_file(tiny_.disk(), path,
                       what == std::string("cut") ? bytes.first(bytes.size() / 2) : bytes);
    }
    resume(parts);
    if (what == std::string("missing")) {
      EXPECT_NE(learned(parts), learned(config("whole")));
    } else {
      const std::vector<std::byte> found = tiny_.disk().read_file(path, 1 << 24);
      EXPECT_TRUE(std::equal(found.begin(), found.end(), other.begin())) << "what is not its own";
    }
    testing::expect_same(tiny_.outcome(parts), tiny_.outcome(config("whole")));
  }
}

}  // namespace
}  // namespace mneme::engine
