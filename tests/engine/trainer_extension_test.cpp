// A run may become longer or shorter than it was started to be.
#include <gtest/gtest.h>

#include <string>

#include "engine/run_directory.h"
#include "engine/run_identity.h"
#include "tests/engine/tiny_run.h"
#include "tests/support/error_of.h"

namespace mneme::engine {
namespace {

using mneme::testing::error_of;

using testing::TinyRun;

class TrainerExtension : public ::testing::Test {
 protected:
  TrainResult resume(const Config& config, std::optional<std::uint64_t> step = {}) {
    TrainerOptions options;
    options.resume = true;
    options.step = step;
    return run_.train(config, options);
  }
  TinyRun run_;
};

TEST_F(TrainerExtension, WithAConstantScheduleTheLengthIsNoPartOfTheResult) {
  Config config = run_.tiered("run");
  config.train.schedule = ScheduleKind::kConstant;
  config.train.steps = 5;
  run_.train(config);
  config.train.steps = 11;
  EXPECT_EQ(resume(config).last_step, 11u);
  Config whole = config;
  whole.run.directory = run_.path("whole");
  run_.train(whole);
  expect_same(run_.outcome(config), run_.outcome(whole));
}

// A run of so many steps that is stopped, made shorter and made longer again has each step's rate
// from the schedule that held then; rows that missed steps catch up at those rates.
TEST_F(TrainerExtension, RatesOfPastStepsStayAndTheRestFollowsTheNewEnd) {
  std::optional<testing::Outcome> expected;
  for (const ScheduleKind kind : {ScheduleKind::kLinear, ScheduleKind::kCosine}) {
    expected.reset();
    for (const bool tiered : {false, true}) {
      const std::string name = std::string(tiered ? "tiered" : "whole") + io::name_of(kind);
      Config config = tiered ? run_.tiered(name) : run_.config(name);
      config.train.schedule = kind;
      run_.train_until(config, 4);  // of 8
      config.train.steps = 6;
      resume(config);
      config.train.steps = 10;
      EXPECT_EQ(resume(config).last_step, 10u);

      const Manifest manifest = RunDirectory(run_.disk(), config.run.directory).manifest();
      ASSERT_EQ(manifest.run.schedule.size(), 3u);
      const memory::Schedule rates = value_schedule(manifest.run.schedule, config);
      for (std::uint64_t step = 1; step <= 10; ++step) {
        config.train.steps = step <= 4 ? 8 : step <= 6 ? 6 : 10;
        EXPECT_EQ(rates(step), value_schedule(continue_schedule({}, 0, config), config)(step));
      }
      if (expected) {
        expect_same(run_.outcome(config), *expected);
      } else {
        expected = run_.outcome(config);
      }
    }
  }
}

TEST_F(TrainerExtension, TheChangeIsSaid) {
  Config config = run_.config("run");
  config.train.schedule = ScheduleKind::kLinear;
  config.train.warmup_steps = 0;
  config.train.min_ratio = 0;
  config.optimizer.learning_rate = 0.5;
  const auto before = continue_schedule({}, 0, config);
  EXPECT_EQ(describe_schedule_change(before, 0, config), "");
  EXPECT_EQ(describe_schedule_change(continue_schedule(before, 4, config), 4, config), "");
  config.train.steps = 20;
  EXPECT_EQ(describe_schedule_change(continue_schedule(before, 4, config), 4, config),
            "from step 5 on train.steps is 20 (was 8); optimizer.learning_rate goes on at 0.375, "
            "it was 0.25 in step 4");
  EXPECT_EQ(describe_schedule_change(continue_schedule(before, 0, config), 0, config), "");
}

TEST_F(TrainerExtension, ARunCannotEndBeforeItsCheckpoint) {
  Config config = run_.config("run");
  config.checkpoint.every = 3;
  config.checkpoint.keep = 3;
  run_.train_until(config, 7);
  const testing::Outcome expected = run_.outcome(config);
  config.train.steps = 2;
  EXPECT_EQ(error_of([&] { resume(config); }),
            config.run.directory +
                ": train.steps is 2, but the checkpoint is of step 7; set train.steps to 7 or "
                "more");
  config.train.steps = 5;
  EXPECT_EQ(error_of([&] { resume(config); }),
            config.run.directory +
                ": train.steps is 5, but the checkpoint is of step 7; set train.steps to 7 or "
                "more, or go on from an earlier checkpoint with --step 3");
  expect_same(run_.outcome(config), expected);
  EXPECT_EQ(resume(config, 3).last_step, 5u);
  config.train.steps = 7;
  EXPECT_EQ(resume(config).last_step, 7u);
}

}  // namespace
}  // namespace mneme::engine
