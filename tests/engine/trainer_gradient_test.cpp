// Whole runs whose row gradient is added up in the rows: the bits of runs that keep it in factored
// form, however many micro-batches are kept at once, wherever the rows are, and across a resume.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "engine/row_gradient_choice.h"
#include "tests/engine/tiny_run.h"

namespace mneme::engine {
namespace {

using testing::Outcome;
using testing::TinyRun;

class TrainerGradient : public ::testing::Test {
 protected:
  // On a GPU norms may be others by an ulp (kernels/cuda/row_gradient.cu): there nothing is
  // clipped.
  Config with_micro_batches(Config config) const {
    config.train.micro_batches = 5;
    config.train.steps = 6;
    if (config.run.device == DeviceKind::kCuda) config.memory.optimizer.clip_norm = 0;
    config.memory.row_gradient = RowGradientKind::kFactored;
    return config;
  }
  Config accumulated(const std::string& name, std::int64_t kept) const {
    Config config = with_micro_batches(run_.tiered(name));
    config.memory.row_gradient = RowGradientKind::kAccumulated;
    config.train.row_gradient_bytes = factored_gradient_bytes(config, kept);
    EXPECT_EQ(kept_micro_batches(config), kept);
    return config;
  }
  static TrainerOptions resumed() {
    TrainerOptions options;
    options.resume = true;
    return options;
  }
  Outcome trained(const Config& config) {
    run_.train(config);
    return run_.outcome(config);
  }
  std::string error_of(const Config& config, const TrainerOptions& options) {
    try {
      run_.train(config, options);
    } catch (const io::Error& error) {
      return error.what();
    }
    return {};
  }

  TinyRun run_;
};

TEST_F(TrainerGradient, AddedUpInTheRowsGivesTheBitsOfTheFactoredForm) {
  const Outcome expected = trained(with_micro_batches(run_.config("reference")));
  for (const std::int64_t kept : {1, 2, 4, 5}) {
    SCOPED_TRACE(kept);
    expect_same(trained(accumulated("kept" + std::to_string(kept), kept)), expected);
  }
  Config chunks = accumulated("chunks", 2);
  chunks.tiers.store.device_bytes = 2 * TinyRun::device_bytes(8);
  chunks.checkpoint.every = 2;
  expect_same(trained(chunks), expected);
}

TEST_F(TrainerGradient, GoesOnWithAnotherNumberOfMicroBatches) {
  const Outcome expected = trained(with_micro_batches(run_.config("reference")));
  run_.train_until(accumulated("run", 1), 3);
  const Config more = accumulated("run", 3);
  run_.train(more, resumed());
  expect_same(run_.outcome(more), expected);
}

// What is added up in the rows has to find room on the disk, too, in the middle of a step.
TEST_F(TrainerGradient, NoStepIsLostToADiskBudgetThatIsTooSmall) {
  const Outcome expected = trained(with_micro_batches(run_.config("reference")));
  int stopped = 0;
  for (const bool behind : {false, true}) {
    for (const std::uint64_t slots : {150, 200, 250, 300, 400}) {
      SCOPED_TRACE(::testing::Message() << slots << " slots, behind training " << behind);
      Config config = accumulated("run", 1);
      std::filesystem::remove_all(config.run.directory);
      config.tiers.store.disk_bytes = slots * 512;
      config.checkpoint.every = 1;
      config.checkpoint.keep = 1;
      config.checkpoint.background = behind;
      std::uint64_t steps = 0;
      TrainerOptions options;
      options.on_step = [&](const StepMetrics& metrics) { steps = metrics.step; };
      const std::string error = error_of(config, options);
      if (!error.empty()) {
        EXPECT_NE(error.find("tiers.disk_bytes"), std::string::npos) << error;
        if (steps == 0) continue;
        ++stopped;
        EXPECT_EQ(RunDirectory(run_.disk(), config.run.directory).checkpoint().step, steps);
        config.tiers.store.disk_bytes = 0;
        run_.train(config, resumed());
      }
      expect_same(run_.outcome(config), expected);
    }
  }
  EXPECT_GE(stopped, 1);
}

TEST_F(TrainerGradient, TimesAndDistinctRowsAreThoseOfTheWholeStep) {
  const auto steps_of = [&](const Config& config) {
    std::vector<StepMetrics> steps;
    TrainerOptions options;
    options.on_step = [&](const StepMetrics& metrics) { steps.push_back(metrics); };
    run_.train(config, options);
    return steps;
  };
  const auto factored = steps_of(with_micro_batches(run_.config("factored")));
  const auto added_up = steps_of(accumulated("run", 1));
  ASSERT_EQ(added_up.size(), factored.size());
  for (std::size_t i = 0; i < added_up.size(); ++i) {
    EXPECT_EQ(added_up[i].distinct_rows, factored[i].distinct_rows);
    EXPECT_EQ(added_up[i].row_gradient_norm, factored[i].row_gradient_norm);
    const StepTimes& times = added_up[i].times;
    EXPECT_LE(times.forward_ms + times.backward_ms + times.update_ms + times.stall_ms,
              times.step_ms * 1.01);
  }
}

TEST(RowGradientChoice, FollowsFromTheMemoryThatAStepWouldTake) {
  Config config;
  config.model.feed_forward = {FeedForwardKind::kMemory, {0, 1}};
  config.train.micro_batches = 10;
  const std::uint64_t step = factored_gradient_bytes(config, 10);
  // 1,024 tokens, two layers; 128 look-ups of 32 bytes and 128 columns of 4.
  EXPECT_EQ(step, 10u * 1024 * 2 * (128 * 32 + 128 * 4));
  config.train.row_gradient_bytes = step;
  EXPECT_FALSE(accumulates_row_gradient(config));
  EXPECT_EQ(kept_micro_batches(config), 10);
  config.train.row_gradient_bytes = step - 1;
  EXPECT_TRUE(accumulates_row_gradient(config));
  EXPECT_EQ(kept_micro_batches(config), 9);
  config.train.row_gradient_bytes = 0;
  EXPECT_EQ(kept_micro_batches(config), 1);
  const std::size_t larger = row_layout(config).record_bytes();
  config.memory.row_gradient = RowGradientKind::kFactored;
  EXPECT_EQ(larger, row_layout(config).record_bytes() + 128 * 4);
  EXPECT_EQ(kept_micro_batches(config), 10);
  // Rows that leave memory would be written for each group of micro-batches.
  config.memory.row_gradient = RowGradientKind::kAuto;
  config.tiers.store.host_bytes = 0;
  config.tiers.store.device_bytes = config.table_rows() * larger / 2;
  EXPECT_FALSE(accumulates_row_gradient(config));
  config.tiers.store.host_bytes = config.table_rows() * larger;
  EXPECT_TRUE(accumulates_row_gradient(config));
  config.tiers.shares.device_percent = 40;
  config.tiers.shares.host_percent = 50;
  EXPECT_FALSE(accumulates_row_gradient(config));
  config.tiers.shares.host_percent = 60;
  EXPECT_TRUE(accumulates_row_gradient(config));
  // One micro-batch cannot be split.
  config.train.micro_batches = 1;
  EXPECT_FALSE(accumulates_row_gradient(config));
  // More look-ups than can be grouped at once.
  config.train.micro_batches = 1 << 20;
  config.train.row_gradient_bytes = std::uint64_t{1} << 62;
  EXPECT_TRUE(accumulates_row_gradient(config));
  EXPECT_LT(kept_micro_batches(config) * 2 * 1024 * 128, std::int64_t{1} << 32);
}

// A run says what it came to, so that it stays so.
TEST(RowGradientChoice, IsWrittenDownAndOlderRunsHaveNone) {
  const std::string text =
      "model.feed_forward = \"memory@0\"\ntrain.micro_batches = 4\n"
      "train.row_gradient_bytes = 1000\n";
  const Config config = parse_config(text, "run.toml");
  EXPECT_EQ(config.memory.row_gradient, RowGradientKind::kAccumulated);
  EXPECT_NE(to_toml(config).find("row_gradient = \"accumulated\""), std::string::npos);
  const std::vector<std::string> more = {"train.row_gradient_bytes=1GiB"};
  EXPECT_EQ(parse_recorded_config(to_toml(config), "manifest", more).memory.row_gradient,
            RowGradientKind::kAccumulated);
  EXPECT_EQ(parse_recorded_config(text, "manifest").memory.row_gradient,
            RowGradientKind::kFactored);
}

}  // namespace
}  // namespace mneme::engine
