// Promise 5 for whole runs: stopped anywhere and resumed, under whatever budgets, training makes
// the bits of a run that was never stopped.
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "engine/run_files.h"
#include "io/error.h"
#include "tests/engine/tiny_run.h"
#include "tests/support/error_of.h"

namespace mneme::engine {
namespace {

using mneme::testing::error_of;

using testing::Outcome;
using testing::TinyRun;

class TrainerResume : public ::testing::Test {
 protected:
  // Trains until `steps` steps of the whole run are done, or to the end.
  TrainResult train_until(const Config& config, std::uint64_t steps, bool resume) {
    TrainerOptions options;
    options.resume = resume;
    std::uint64_t done = 0;
    bool any = false;
    options.on_step = [&](const StepMetrics& metrics) {
      done = metrics.step;
      any = true;
    };
    options.stop_requested = [&] { return any && done >= steps; };
    return run_.train(config, options);
  }
  TrainResult resume(const Config& config) { return train_until(config, ~std::uint64_t{0}, true); }

  Outcome uninterrupted(const Config& config) {
    Config whole = config;
    whole.run.directory = run_.path("uninterrupted");
    run_.train(whole);
    return run_.outcome(whole);
  }

  TinyRun run_;
};

TEST_F(TrainerResume, AStoppedRunGoesOnToTheBitsOfTheUninterruptedOne) {
  const Outcome expected = uninterrupted(run_.tiered(""));
  for (std::uint32_t seed = 1; seed <= 4; ++seed) {
    std::mt19937 random(seed);
    const std::uint64_t stop = 1 + random() % (TinyRun::kSteps - 1);
    SCOPED_TRACE(::testing::Message() << "seed " << seed << ", stopped after step " << stop);
    const Config config = run_.tiered("run-" + std::to_string(seed));
    const TrainResult stopped = train_until(config, stop, false);
    EXPECT_TRUE(stopped.interrupted);
    EXPECT_EQ(stopped.last_step, stop);
    const TrainResult resumed = resume(config);
    EXPECT_FALSE(resumed.interrupted);
    EXPECT_EQ(resumed.first_step, stop);
    EXPECT_EQ(resumed.last_step, std::uint64_t(TinyRun::kSteps));
    expect_same(run_.outcome(config), expected);
  }
}

TEST_F(TrainerResume, AStopBeforeTheFirstStepCanBeResumed) {
  const Config config = run_.tiered("run");
  TrainerOptions options;
  options.stop_requested = [] { return true; };
  EXPECT_EQ(run_.train(config, options).last_step, 0u);
  resume(config);
  expect_same(run_.outcome(config), uninterrupted(config));
}

TEST_F(TrainerResume, ARunMayBeStoppedAfterEveryStep) {
  const Config config = run_.tiered("run");
  train_until(config, 1, false);
  for (std::uint64_t step = 2; step <= std::uint64_t(TinyRun::kSteps); ++step) {
    EXPECT_EQ(train_until(config, step, true).last_step, step);
  }
  expect_same(run_.outcome(config), uninterrupted(config));
}

TEST_F(TrainerResume, StepsAfterTheLastCheckpointAreTakenAgainAndWrittenOnce) {
  Config config = run_.tiered("run");
  config.checkpoint.every = 3;
  // A failure right after step 5, as of a machine that goes down: the checkpoint is of step 3.
  TrainerOptions options;
  options.on_step = [](const StepMetrics& metrics) {
    if (metrics.step == 5) throw io::Error("the lights went out");
  };
  EXPECT_EQ(error_of([&] { run_.train(config, options); }), "the lights went out");
  EXPECT_EQ(testing::read_losses(config.run.directory).size(), 5u);
  EXPECT_EQ(resume(config).first_step, 3u);
  expect_same(run_.outcome(config), uninterrupted(config));
}

TEST_F(TrainerResume, AFinishedRunResumedAgainStaysAsItIs) {
  const Config config = run_.tiered("run");
  run_.train(config);
  const Outcome finished = run_.outcome(config);
  const TrainResult again = resume(config);
  EXPECT_EQ(again.first_step, again.last_step);
  expect_same(run_.outcome(config), finished);
}

TEST_F(TrainerResume, OtherBudgetsAfterAStopGiveTheSameBits) {
  const Outcome expected = uninterrupted(run_.tiered(""));
  Config config = run_.tiered("run");
  train_until(config, 3, false);
  config.tiers.store.device_bytes = TinyRun::device_bytes(8);
  config.tiers.store.host_bytes = TinyRun::host_bytes(16);
  config.tiers.store.device_policy = kernels::ReplacementKind::kSieve;
  config.tiers.store.io_engine = io::IoEngine::kSync;
  config.run.threads = 2;
  train_until(config, 5, true);
  config.tiers = run_.config("").tiers;
  resume(config);
  expect_same(run_.outcome(config), expected);
}

TEST_F(TrainerResume, KeepsAsManyCheckpointsAsAskedAndEachOfThemLoads) {
  Config config = run_.tiered("run");
  config.checkpoint.every = 1;
  config.checkpoint.keep = 3;
  run_.train(config);
  const Manifest manifest = read_manifest(run_.disk(), checkpoints_directory(config.run.directory));
  ASSERT_EQ(manifest.checkpoints.size(), 3u);
  for (const CheckpointEntry& entry : manifest.checkpoints) {
    // A run of that many steps of the same schedule ends with the same table.
    Config part = run_.tiered("part-" + std::to_string(entry.step));
    train_until(part, entry.step, false);
    const ReadRun read = read_run(RunDirectory(run_.disk(), config.run.directory), {}, entry.step);
    EXPECT_EQ(read.step, entry.step);
    std::vector<float> values(TinyRun::kRows * 16);
    read.run->table()->read_values(entry.step, 0, TinyRun::kRows, values);
    EXPECT_TRUE(testing::same_bits(values, run_.outcome(part).table)) << "step " << entry.step;
  }
}

TEST_F(TrainerResume, AFreshRunInADirectoryWithOneIsRefused) {
  const Config config = run_.tiered("run");
  train_until(config, 2, false);
  const Outcome before = run_.outcome(config);
  const std::string error = error_of([&] { run_.train(config); });
  EXPECT_NE(error.find(config.run.directory), std::string::npos) << error;
  EXPECT_NE(error.find("mneme resume"), std::string::npos) << error;
  expect_same(run_.outcome(config), before);
}

TEST_F(TrainerResume, ACheckpointOfAnotherConfigurationIsRefusedByKey) {
  const Config config = run_.tiered("run");
  train_until(config, 2, false);
  const Outcome before = run_.outcome(config);
  const std::vector<std::pair<std::string, std::function<void(Config&)>>> changes = {
      {"model.feed_forward_hidden", [](Config& c) { c.model.feed_forward_hidden = 32; }},
      {"memory.half_keys", [](Config& c) { c.memory.half_keys = 17; }},
      {"memory.row_gradient",
       [](Config& c) { c.memory.row_gradient = RowGradientKind::kAccumulated; }},
      {"memory.optimizer.beta2", [](Config& c) { c.memory.optimizer.beta2 = 0.9; }},
      {"optimizer.beta1", [](Config& c) { c.optimizer.beta1 = 0.5; }},
      {"train.micro_batches", [](Config& c) { c.train.micro_batches = 1; }},
      {"run.seed", [](Config& c) { c.run.seed = 8; }}};
  for (const auto& [key, change] : changes) {
    SCOPED_TRACE(key);
    Config other = config;
    change(other);
    const std::string error = error_of([&] { resume(other); });
    EXPECT_NE(error.find(key + " is "), std::string::npos) << error;
  }
  expect_same(run_.outcome(config), before);
}

TEST_F(TrainerResume, ResumingWithoutACheckpointNamesTheFile) {
  const Config config = run_.tiered("run");
  const std::string error = error_of([&] { resume(config); });
  EXPECT_NE(error.find(config.run.directory), std::string::npos) << error;
}

}  // namespace
}  // namespace mneme::engine
