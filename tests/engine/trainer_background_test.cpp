// Checkpoints that are written while training goes on: they hold what a run that waits for them
// saves, and they do go on beside later steps.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/engine/tiny_run.h"
#include "tests/support/error_of.h"

namespace mneme::engine {
namespace {

using mneme::testing::error_of;
using offload::Cause;
using testing::Outcome;
using testing::TinyRun;

class TrainerBackground : public ::testing::Test {
 protected:
  // Few buffers, so that a checkpoint takes several steps.
  Config made(const std::string& name, bool behind) const {
    Config config = run_.tiered(name);
    config.checkpoint.every = 3;
    config.checkpoint.keep = 100;
    config.checkpoint.background = behind;
    config.checkpoint.copy_bytes = 0;
    return config;
  }

  // Records that the lines of the steps between two checkpoints tell of.
  std::uint64_t train_counting(const Config& config) {
    std::uint64_t behind = 0;
    TrainerOptions options;
    options.on_step = [&](const StepMetrics& metrics) {
      const bool is_due = metrics.step % std::uint64_t(config.checkpoint.every) == 0;
      if (!is_due) behind += metrics.books.total(Cause::kCheckpoint).disk_rows_written();
    };
    run_.train(config, options);
    return behind;
  }

  // What each kept checkpoint of a run holds: losses are those of the whole run.
  std::map<std::uint64_t, Outcome> outcomes(const Config& config) {
    std::map<std::uint64_t, Outcome> all;
    const RunDirectory directory(run_.disk(), config.run.directory);
    for (const CheckpointEntry& entry : directory.manifest().checkpoints) {
      all[entry.step] = run_.outcome(config, run_.disk(), entry.step);
    }
    return all;
  }

  void expect_same_as_one_that_waits(const std::string& name, const Config& behind) {
    Config waiting = behind;
    waiting.run.directory = run_.path(name + "-waiting");
    waiting.checkpoint.background = false;
    EXPECT_EQ(train_counting(waiting), 0u);
    EXPECT_GT(train_counting(behind), 0u) << "nothing was written behind training";
    const auto expected = outcomes(waiting), found = outcomes(behind);
    ASSERT_EQ(found.size(), expected.size());
    for (const auto& [step, outcome] : expected) {
      SCOPED_TRACE(step);
      ASSERT_TRUE(found.contains(step));
      expect_same(found.at(step), outcome);
    }
  }

  TinyRun run_;
};

TEST_F(TrainerBackground, EveryCheckpointHoldsWhatOneThatIsWaitedForHolds) {
  expect_same_as_one_that_waits("tiers", made("tiers", true));
  Config no_host = made("no-host", true);
  no_host.tiers.store.host_bytes = 0;
  expect_same_as_one_that_waits("no-host", no_host);
  Config prefetch = made("prefetch", true);
  prefetch.tiers.prefetch = memory::PredictorKind::kOracleNextStep;
  prefetch.evaluation.every = 2;
  expect_same_as_one_that_waits("prefetch", prefetch);
  Config on_device = run_.config("on-device");
  on_device.checkpoint = made("", true).checkpoint;
  expect_same_as_one_that_waits("on-device", on_device);
}

TEST_F(TrainerBackground, OneThatIsDueBeforeTheLastIsOverWaitsForIt) {
  Config config = made("run", true);
  config.checkpoint.every = 1;
  run_.train(config);
  Config waiting = made("waiting", false);
  waiting.checkpoint.every = 1;
  run_.train(waiting);
  const auto expected = outcomes(waiting), found = outcomes(config);
  ASSERT_EQ(found.size(), std::size_t(TinyRun::kSteps));
  for (const auto& [step, outcome] : expected) expect_same(found.at(step), outcome);
}

// The smallest tiers.disk_bytes with which a run that waits ends is enough for one that does not.
TEST_F(TrainerBackground, NeedsNoMoreOfTheDisk) {
  const auto ends = [&](bool behind, std::uint64_t slots) {
    Config config = made("run", behind);
    config.checkpoint.keep = 1;
    config.tiers.store.disk_bytes = slots * 512;
    std::filesystem::remove_all(config.run.directory);
    return error_of([&] { run_.train(config); }).empty();
  };
  std::uint64_t too_few = 16, enough = 2048;
  ASSERT_TRUE(ends(false, enough));
  while (enough - too_few > 8) {
    const std::uint64_t slots = (enough + too_few) / 2;
    (ends(false, slots) ? enough : too_few) = slots;
  }
  EXPECT_TRUE(ends(true, enough)) << enough << " slots";
}

TEST_F(TrainerBackground, AStepThatFailsLetsTheCheckpointBeforeItEnd) {
  Config config = made("run", true);
  config.checkpoint.every = 4;
  TrainerOptions options;
  options.on_step = [&](const StepMetrics& metrics) {
    if (metrics.step == 5) throw std::runtime_error("the step's user fails");
  };
  EXPECT_THROW(run_.train(config, options), std::runtime_error);
  const RunDirectory directory(run_.disk(), config.run.directory);
  EXPECT_EQ(directory.manifest().checkpoints.back().step, 4u);
}

TEST_F(TrainerBackground, AStoppedRunIsSavedWithWhatWasUnderWay) {
  Config config = made("run", true);
  run_.train_until(config, 4);
  std::vector<std::uint64_t> steps;
  const RunDirectory directory(run_.disk(), config.run.directory);
  for (const CheckpointEntry& entry : directory.manifest().checkpoints) steps.push_back(entry.step);
  EXPECT_EQ(steps, (std::vector<std::uint64_t>{3, 4}));
}

}  // namespace
}  // namespace mneme::engine
