// What a run validates on stays what it was started with.
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "engine/data.h"
#include "engine/run_directory.h"
#include "engine/run_files.h"
#include "tests/engine/tiny_run.h"
#include "tests/support/error_of.h"

namespace mneme::engine {
namespace {

using mneme::testing::error_of;

using testing::TinyRun;

class TrainerValidation : public ::testing::Test {
 protected:
  static TrainerOptions resumed() {
    TrainerOptions options;
    options.resume = true;
    return options;
  }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(run_.path(name)) << text;
    return run_.path(name);
  }
  TinyRun run_;
};

// A manifest of before there was a choice of the split.
TEST_F(TrainerValidation, ARunOfAnEarlierVersionGoesOnWithItsSplit) {
  Config config = run_.config("old");
  config.data.validation_share = 0.3;
  config.data.validation_split = ValidationSplit::kTail;
  run_.train_until(config, 3);
  const std::string checkpoints = checkpoints_directory(config.run.directory);
  Manifest manifest = read_manifest(run_.disk(), checkpoints);
  const std::string line = "validation_split = \"tail\"\n";
  const std::size_t at = manifest.run.config.find(line);
  ASSERT_NE(at, std::string::npos);
  manifest.run.config.erase(at, line.size());
  write_manifest(run_.disk(), checkpoints, manifest);

  const Config recorded = RunDirectory(run_.disk(), config.run.directory).config();
  EXPECT_EQ(recorded.data.validation_split, ValidationSplit::kTail);
  run_.train(recorded, resumed());
  Config whole = config;
  whole.run.directory = run_.path("whole");
  run_.train(whole);
  expect_same(run_.outcome(recorded), run_.outcome(whole));
  EXPECT_EQ(RunDirectory(run_.disk(), config.run.directory).config().data.validation_split,
            ValidationSplit::kTail);
}

TEST_F(TrainerValidation, ASplitIsPartOfARun) {
  Config config = run_.config("run");
  run_.train_until(config, 3);
  config.data.validation_split = ValidationSplit::kTail;
  const std::string error = error_of([&] { run_.train(config, resumed()); });
  EXPECT_NE(error.find("data.validation_split is \"spread\" there and \"tail\" here"),
            std::string::npos)
      << error;
}

TEST_F(TrainerValidation, ChangedValidationDataIsRefusedUnlessItIsAccepted) {
  Config config = run_.config("run");
  config.data.validation_path = write("validation.txt", std::string(100, 'v'));
  run_.train_until(config, 3);
  run_.train_until(config, 4, resumed());
  // The data is what counts, not where it lies.
  Config moved = config;
  moved.data.validation_path = write("moved.txt", std::string(100, 'v'));
  run_.train_until(moved, 5, resumed());

  write("validation.txt", std::string(100, 'w'));
  const std::string error = error_of([&] { run_.train(config, resumed()); });
  EXPECT_NE(error.find("data.validation_path " + config.data.validation_path), std::string::npos);
  EXPECT_NE(error.find("--set data.validation_path=PATH"), std::string::npos) << error;
  TrainerOptions accepting = resumed();
  accepting.accept_changed_data = true;
  run_.train_until(config, 6, accepting);
  run_.train_until(config, 7, resumed());

  config.data.validation_path.clear();
  const std::string without = error_of([&] { run_.train(config, resumed()); });
  EXPECT_NE(without.find("data.validation_path is empty, but the run was started with"),
            std::string::npos)
      << without;
}

TEST_F(TrainerValidation, ValidationDataOfItsOwnCannotBeAddedUnnoticed) {
  Config config = run_.config("run");
  run_.train_until(config, 3);
  config.data.validation_path = write("validation.txt", std::string(100, 'v'));
  const std::string error = error_of([&] { run_.train(config, resumed()); });
  EXPECT_NE(error.find("the run was started without it"), std::string::npos) << error;
  EXPECT_NE(error.find("--accept-changed-data"), std::string::npos) << error;
  TrainerOptions accepting = resumed();
  accepting.accept_changed_data = true;
  EXPECT_EQ(run_.train(config, accepting).last_step, std::uint64_t(TinyRun::kSteps));
}

}  // namespace
}  // namespace mneme::engine
