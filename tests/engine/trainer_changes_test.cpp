// Runs that go on otherwise than they were started: from an older checkpoint, with other learning
// rates, on other data; and runs that are stopped in the middle of something.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>

#include "engine/run_directory.h"
#include "engine/run_files.h"
#include "engine/run_identity.h"
#include "engine/schedule.h"
#include "io/error.h"
#include "tests/engine/tiny_run.h"
#include "tests/support/error_of.h"
#include "tests/support/token_files.h"

namespace mneme::engine {
namespace {

using mneme::testing::error_of;

using testing::Outcome;
using testing::TinyRun;

class TrainerChanges : public ::testing::Test {
 protected:
  static TrainerOptions resumed(std::optional<std::uint64_t> step = {}) {
    TrainerOptions options;
    options.resume = true;
    options.step = step;
    return options;
  }
  TinyRun run_;
};

TEST_F(TrainerChanges, AnOlderCheckpointGoesOnToTheSameBits) {
  Config config = run_.tiered("run");
  config.checkpoint.every = 2;
  config.checkpoint.keep = 3;
  run_.train_until(config, 7);  // keeps 4, 6 and 7
  const Outcome expected = [&] {
    Config whole = run_.tiered("uninterrupted");
    run_.train(whole);
    return run_.outcome(whole);
  }();
  const TrainResult result = run_.train_until(config, 99, resumed(4));
  EXPECT_EQ(result.first_step, 4u);
  expect_same(run_.outcome(config), expected);
  EXPECT_NO_THROW(verify_run(run_.disk(), config.run.directory));
  EXPECT_NE(error_of([&] { run_.train_until(config, 99, resumed(3)); }).find("kept are"),
            std::string::npos);
}

TEST_F(TrainerChanges, TheScheduleOfAValueKnowsWhatEachStepWasTakenWith) {
  Config config = run_.config("run");
  config.train.schedule = ScheduleKind::kConstant;
  config.train.warmup_steps = 0;
  config.memory.optimizer.learning_rate = 0.5;
  auto segments = continue_schedule({}, 0, config);
  EXPECT_EQ(continue_schedule(segments, 3, config), segments) << "nothing has changed";
  Config lower = config;
  lower.memory.optimizer.learning_rate = 0.25;
  lower.train.schedule = ScheduleKind::kLinear;
  lower.train.min_ratio = 0;
  segments = continue_schedule(segments, 3, lower);
  ASSERT_EQ(segments.size(), 2u);
  const memory::Schedule rate = value_schedule(segments, lower);
  EXPECT_EQ(rate(1), 0.5);
  EXPECT_EQ(rate(3), 0.5);
  EXPECT_EQ(rate(4), 0.25 * (1 - 4.0 / 8));
  EXPECT_EQ(rate(8), 0.0);
  // Going back before the change forgets it.
  EXPECT_EQ(continue_schedule(segments, 2, config).size(), 1u);
  EXPECT_EQ(continue_schedule(segments, 0, lower).size(), 1u);
  EXPECT_EQ(value_schedule(continue_schedule(segments, 0, lower), lower)(1), 0.25 * (1 - 1.0 / 8));
}

// Rows that were not read since before the change still move at the rates of their time.
TEST_F(TrainerChanges, OtherLearningRatesOfAResumedRunDoNotDependOnTheTiers) {
  std::optional<Outcome> expected;
  for (const bool tiered : {false, true}) {
    Config config = tiered ? run_.tiered("tiered") : run_.config("whole");
    run_.train_until(config, 4);
    config.optimizer.learning_rate = 1e-3;
    config.memory.optimizer.learning_rate = 5e-3;
    config.train.steps = 12;
    for (const std::uint64_t stop : {std::uint64_t{6}, std::uint64_t{12}}) {
      run_.train_until(config, stop, resumed());
    }
    EXPECT_EQ(RunDirectory(run_.disk(), config.run.directory).manifest().run.schedule.size(), 2u);
    if (expected) {
      expect_same(run_.outcome(config), *expected);
    } else {
      expected = run_.outcome(config);
    }
  }
  EXPECT_EQ(expected->losses.size(), 12u);
}

TEST_F(TrainerChanges, ChangedDataIsRefusedUnlessItIsAccepted) {
  const Config config = run_.tiered("run");
  run_.train_until(config, 3);
  const std::string path = config.data.path;
  std::string text;
  std::getline(std::ifstream(path), text, '\0');
  std::string swapped = text;
  std::swap(swapped[100], swapped[101]);
  ASSERT_NE(swapped, text);
  for (const std::string& changed : {text + "more", text.substr(0, text.size() - 1), swapped}) {
    std::ofstream(path, std::ios::trunc) << changed;
    const std::string error = error_of([&] { run_.train_until(config, 4, resumed()); });
    EXPECT_NE(error.find("data.path " + path), std::string::npos) << error;
    EXPECT_NE(error.find("--accept-changed-data"), std::string::npos) << error;
  }
  TrainerOptions accepting = resumed();
  accepting.accept_changed_data = true;
  run_.train_until(config, 4, accepting);
  run_.train_until(config, 5, resumed());  // it is the run's data now
  // Moved, it is the same.
  Config moved = config;
  moved.data.path = run_.path("moved.txt");
  std::filesystem::rename(path, moved.data.path);
  run_.train_until(moved, 6, resumed());
  EXPECT_NE(error_of([&] { run_.train_until(config, 7, resumed()); }).find("--set data.path="),
            std::string::npos);
}

// A budget that does not hold what a run has to write is found while everything can still be saved.
TEST_F(TrainerChanges, NoStepIsLostToADiskBudgetThatIsTooSmall) {
  const Outcome expected = [&] {
    const Config whole = run_.tiered("uninterrupted");
    run_.train(whole);
    return run_.outcome(whole);
  }();
  int stopped_at_once = 0, stopped_later = 0, finished = 0;
  for (const std::uint64_t slots : {4, 90, 110, 140, 600}) {
    SCOPED_TRACE(::testing::Message() << slots << " slots");
    Config config = run_.tiered("run-" + std::to_string(slots));
    config.tiers.store.disk_bytes = slots * 512;
    config.checkpoint.every = slots % 3 == 0 ? 2 : 0;
    std::uint64_t steps = 0;
    TrainerOptions options;
    options.on_step = [&](const StepMetrics& metrics) { steps = metrics.step; };
    try {
      run_.train(config, options);
      ++finished;
    } catch (const io::Error& error) {
      EXPECT_NE(std::string(error.what()).find("tiers.disk_bytes"), std::string::npos)
          << error.what();
      if (steps == 0) {
        ++stopped_at_once;
        continue;
      }
      ++stopped_later;
      EXPECT_NE(std::string(error.what()).find("mneme resume " + config.run.directory),
                std::string::npos)
          << error.what();
      EXPECT_EQ(RunDirectory(run_.disk(), config.run.directory).checkpoint().step, steps);
      EXPECT_NO_THROW(verify_run(run_.disk(), config.run.directory));
      config.tiers.store.disk_bytes = 0;
      run_.train(config, resumed());
    }
    expect_same(run_.outcome(config), expected);
  }
  EXPECT_GE(stopped_at_once, 1);
  EXPECT_GE(stopped_later, 1);
  EXPECT_GE(finished, 1);
}

// What fails between two updates takes no step with it.
TEST_F(TrainerChanges, StepsOutliveDataThatVanishes) {
  const std::string path = run_.path("s.bin");
  const auto write_shard = [&] {
    std::string text;
    std::getline(std::ifstream(run_.data_path()), text, '\0');
    mneme::testing::write_tokens(path, text);
  };
  write_shard();
  const auto made = [&](const std::string& name) {
    Config config = run_.tiered(name);
    config.data.path = path;
    return config;
  };
  const Config whole = made("uninterrupted");
  run_.train(whole);
  // Whether or not the run looks ahead at the data of the next step.
  for (const bool looks_ahead : {false, true}) {
    SCOPED_TRACE(looks_ahead ? "looking ahead" : "not looking ahead");
    Config config = made(looks_ahead ? "ahead" : "run");
    if (looks_ahead) config.tiers.prefetch = memory::PredictorKind::kOracleNextStep;
    const std::uint64_t vanishes_after = looks_ahead ? 4 : 5;
    TrainerOptions options;
    options.on_step = [&](const StepMetrics& metrics) {
      if (metrics.step == vanishes_after) std::filesystem::resize_file(path, 1100);
    };
    const std::string error = error_of([&] { run_.train(config, options); });
    EXPECT_NE(error.find(path), std::string::npos) << error;
    const std::string advice = "is saved, go on with: mneme resume " + config.run.directory;
    EXPECT_NE(error.find(advice), std::string::npos) << error;
    std::filesystem::remove(path);
    write_shard();
    const TrainResult result = run_.train(config, resumed());
    EXPECT_EQ(result.first_step, vanishes_after);
    expect_same(run_.outcome(config), run_.outcome(whole));
  }
}

// A stop that comes within an evaluation or a sample ends it, and the run is saved.
TEST_F(TrainerChanges, AStopIsHeardWithinEvaluationsAndSamples) {
  for (const bool sampling : {false, true}) {
    Config config = run_.tiered(sampling ? "sampling" : "evaluating");
    (sampling ? config.sample.every : config.evaluation.every) = 3;
    config.sample.tokens = sampling ? 1 << 20 : 0;
    TrainerOptions options;
    std::ostringstream samples;
    options.samples = &samples;
    int asked = 0;
    options.stop_requested = [&] { return ++asked > 4; };
    const TrainResult result = run_.train(config, options);
    EXPECT_TRUE(result.interrupted);
    EXPECT_EQ(result.last_step, 3u);
    EXPECT_EQ(RunDirectory(run_.disk(), config.run.directory).checkpoint().step, 3u);
    EXPECT_EQ(result.validation_loss, std::nullopt);
    run_.train(
        [&] {
          config.sample.tokens = 0;
          return config;
        }(),
        resumed());
    EXPECT_EQ(run_.outcome(config).losses.size(), std::size_t(TinyRun::kSteps));
  }
}

}  // namespace
}  // namespace mneme::engine
