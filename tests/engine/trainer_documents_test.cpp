// Runs in which no position attends to another document than its own.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "engine/data.h"
#include "engine/evaluate.h"
#include "engine/metrics_reader.h"
#include "tests/engine/tiny_run.h"
#include "tests/support/error_of.h"

namespace mneme::engine {
namespace {

using mneme::testing::error_of;

using testing::Outcome;
using testing::TinyRun;

class TrainerDocuments : public ::testing::Test {
 protected:
  // Every word of the text is a document, behind its space.
  Config separate(Config config) const {
    config.data.documents = Documents::kSeparate;
    config.data.separator = ' ';
    return config;
  }
  static TrainerOptions resumed() {
    TrainerOptions options;
    options.resume = true;
    return options;
  }

  TinyRun run_;
};

std::vector<float> losses_of(Run& run, const Batch& batch) {
  const TrainConfig& train = run.config().train;
  std::vector<float> losses(batch.tokens.size());
  run.table()->begin_evaluation(0);
  run.model().evaluate(run.stream(),
                       {.tokens = batch.tokens,
                        .targets = batch.targets,
                        .first_keys = batch.first_keys,
                        .batch = train.batch,
                        .sequence = train.sequence},
                       losses);
  return losses;
}

TEST_F(TrainerDocuments, LossesDoNotDependOnEarlierDocumentsOfTheWindow) {
  for (const bool apart : {true, false}) {
    SCOPED_TRACE(apart);
    const Config config = apart ? separate(run_.config("run")) : run_.config("run");
    engine::Run run(config, run_.disk());
    run.initialize();
    Batch batch;
    Data(data_options(separate(config))).train_batch(1, 0, batch);
    const auto begin = std::ranges::find_if(batch.first_keys, [](auto key) { return key > 0; }) -
                       batch.first_keys.begin();
    ASSERT_LT(begin, std::ssize(batch.tokens));
    if (!apart) batch.first_keys.clear();
    const std::vector<float> before = losses_of(run, batch);
    for (auto i = 0; i < begin; ++i) batch.tokens[std::size_t(i)] ^= 1;
    const std::vector<float> after = losses_of(run, batch);
    EXPECT_NE(before[0], after[0]);
    EXPECT_EQ(std::equal(before.begin() + begin, before.end(), after.begin() + begin), apart);
  }
}

TEST_F(TrainerDocuments, TrainingAndEvaluationKeepThemApart) {
  Config config = separate(run_.config("run"));
  config.train.steps = 3;
  double joined = 0;
  for (const bool apart : {false, true}) {
    SCOPED_TRACE(apart);
    config.data.documents = apart ? Documents::kSeparate : Documents::kJoined;
    config.run.directory = run_.path(apart ? "separate" : "joined");
    run_.train(config);
    const double first = testing::read_losses(config.run.directory).front().second;
    engine::Run run(config, run_.disk());
    run.initialize();
    const Data data(data_options(config));
    double sum = 0;
    for (std::int64_t micro = 0; micro < config.train.micro_batches; ++micro) {
      Batch batch;
      data.train_batch(1, micro, batch);
      EXPECT_EQ(batch.first_keys.empty(), !apart);
      for (const float loss : losses_of(run, batch)) sum += double(loss);
    }
    EXPECT_NEAR(first, sum / double(config.tokens_per_step()), 1e-5);
    // What is evaluated differs as well.
    const double evaluated = evaluate(run, data, 0)->loss;
    if (!apart) joined = evaluated;
    EXPECT_EQ(std::abs(evaluated - joined) > 1e-4, apart);
  }
}

TEST_F(TrainerDocuments, AStoppedRunGoesOnToTheBitsOfTheUninterruptedOne) {
  const Config whole = separate(run_.tiered("whole"));
  run_.train(whole);
  const Config parts = separate(run_.tiered("parts"));
  run_.train_until(parts, 3);
  run_.train(parts, resumed());
  const Outcome expected = run_.outcome(whole);
  expect_same(run_.outcome(parts), expected);

  const Config joined = run_.tiered("joined");
  run_.train(joined);
  EXPECT_FALSE(is_same(run_.outcome(joined), expected));
}

TEST_F(TrainerDocuments, AreOfOneKindInARun) {
  Config config = run_.config("run");
  run_.train_until(config, 3);
  EXPECT_NE(error_of([&] {
              run_.train(separate(config), resumed());
            }).find("data.documents is \"joined\" there and \"separate\" here"),
            std::string::npos);
}

// With parameters that hardly move, the rows of the first memory layer are known, but for ties.
TEST_F(TrainerDocuments, TheNextBatchIsLookedAtAsItWillBeTrained) {
  Config config = separate(run_.config("run"));
  config.tiers.prefetch = memory::PredictorKind::kNextBatch;
  config.optimizer.learning_rate = 1e-12;
  config.memory.optimizer.learning_rate = 1e-12;
  run_.train(config);
  const auto lines = read_metrics(run_.disk(), metrics_path(config.run.directory));
  const auto& first_layer = lines.back().predictions.front();
  EXPECT_EQ(first_layer.layer, config.table_blocks().front());
  EXPECT_GT(first_layer.score.read, 0u);
  EXPECT_GE(double(first_layer.score.hits), 0.95 * double(first_layer.score.read));
}

}  // namespace
}  // namespace mneme::engine
