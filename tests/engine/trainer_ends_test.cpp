// What happens after the last step is the configuration's choice; what a stop must save is not.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "engine/run_directory.h"
#include "engine/run_files.h"
#include "tests/engine/tiny_run.h"
#include "tests/support/error_of.h"

namespace mneme::engine {
namespace {

using mneme::testing::error_of;

using testing::TinyRun;

class TrainerEnds : public ::testing::Test {
 protected:
  std::uint64_t newest_step(const Config& config) {
    return RunDirectory(run_.disk(), config.run.directory).checkpoint().step;
  }
  TinyRun run_;
};

TEST_F(TrainerEnds, TheLastCheckpointCanBeLeftAway) {
  Config config = run_.tiered("none");
  config.checkpoint.final = false;
  const TrainResult result = run_.train(config);
  EXPECT_FALSE(result.interrupted);
  EXPECT_EQ(result.last_step, std::uint64_t(TinyRun::kSteps));
  EXPECT_TRUE(result.validation_loss.has_value());
  EXPECT_NE(error_of([&] { newest_step(config); }).find("no checkpoint"), std::string::npos);
  EXPECT_EQ(testing::read_losses(config.run.directory).size(), std::size_t(TinyRun::kSteps));
  EXPECT_NO_THROW(run_.train(config)) << "the folder can be trained in again";

  config = run_.tiered("every");
  config.checkpoint.every = 3;
  config.checkpoint.final = false;
  run_.train(config);
  EXPECT_EQ(newest_step(config), 6u);
  EXPECT_NO_THROW(verify_run(run_.disk(), config.run.directory));
}

TEST_F(TrainerEnds, AStopSavesAllTheSame) {
  Config config = run_.tiered("run");
  config.checkpoint.final = false;
  EXPECT_TRUE(run_.train_until(config, 5).interrupted);
  EXPECT_EQ(newest_step(config), 5u);
  // Also one that comes with the last step.
  config = run_.tiered("last");
  config.checkpoint.final = false;
  run_.train_until(config, TinyRun::kSteps);
  EXPECT_EQ(newest_step(config), std::uint64_t(TinyRun::kSteps));
}

TEST_F(TrainerEnds, TheLastEvaluationAndSampleCanBeLeftAway) {
  Config config = run_.config("none");
  config.evaluation.final = false;
  config.evaluation.every = 3;
  TrainerOptions options;
  std::ostringstream samples, progress;
  io::ProgressDisplay display(progress, {});
  options.samples = &samples;
  options.progress = &display;
  const TrainResult result = run_.train(config, options);
  EXPECT_EQ(result.validation_loss, std::nullopt) << "that of step 6 is not the run's";
  EXPECT_EQ(samples.str(), "");
  EXPECT_NE(progress.str().find("step 6: validation loss"), std::string::npos);
  EXPECT_EQ(progress.str().find("step 8: validation loss"), std::string::npos);
  // Due after the last step anyway.
  config = run_.config("due");
  config.evaluation.final = false;
  config.evaluation.every = 4;
  EXPECT_TRUE(run_.train(config).validation_loss.has_value());
}

TEST_F(TrainerEnds, TheLastEvaluationIsInTheMetrics) {
  Config config = run_.config("last");
  config.evaluation.every = 0;
  const TrainResult result = run_.train(config);
  ASSERT_TRUE(result.validation_loss.has_value());
  std::ifstream file(metrics_path(config.run.directory));
  std::string line, last;
  while (std::getline(file, line)) last = line;
  EXPECT_NE(last.find(fmt::format("\"step\":{},", TinyRun::kSteps)), std::string::npos) << last;
  EXPECT_NE(last.find("\"validation_loss\""), std::string::npos) << last;
}

}  // namespace
}  // namespace mneme::engine
