// Which runs a trace of another one answers for: keys that only say what tiers hold, and in time.
#include "tools/ablate/replayable.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "io/error.h"
#include "tests/engine/tiny_run.h"
#include "tools/ablate/answers.h"

namespace mneme::ablate {
namespace {

using engine::Config;
using Change = std::function<void(Config&)>;

class AblateReplayable : public ::testing::Test {
 protected:
  Config config(const Change& change = {}) const {
    Config config = run_.tiered("run");
    config.checkpoint.final = false;
    config.tiers.store.host_link_bytes_per_second = 1e8;
    config.tiers.store.disk_link_bytes_per_second = 1e7;
    if (change) change(config);
    return config;
  }
  engine::testing::TinyRun run_;
};

TEST_F(AblateReplayable, RunsOfAGroupDifferInTheirTiersAlone) {
  const Replayable own = replayable(config());
  EXPECT_EQ(own.why_not, "");
  const std::vector<Change> answered = {
      [](Config& c) { c.tiers.store.device_bytes *= 2; },
      [](Config& c) { c.tiers.store.host_bytes = 0; },
      [](Config& c) { c.tiers.store.device_policy = kernels::ReplacementKind::kLru; },
      [](Config& c) { c.tiers.store.host_policy = kernels::ReplacementKind::kSieve; },
      [](Config& c) { c.tiers.store.evaluation_share = 0.25; },
      [](Config& c) { c.tiers.store.host_link_bytes_per_second = 2e8; },
      [](Config& c) { c.tiers.store.disk_link_bytes_per_second = 3e7; },
      [](Config& c) { c.tiers.store.io_depth = 4; },
      [](Config& c) { c.run.directory = "elsewhere"; },
      [](Config& c) { c.run.trace = true; }};
  for (std::size_t i = 0; i < answered.size(); ++i) {
    EXPECT_EQ(replayable(config(answered[i])).group, own.group) << i;
  }
  const std::vector<Change> trained = {
      [](Config& c) { c.run.seed = 8; },
      [](Config& c) { c.train.steps = 9; },
      [](Config& c) { c.memory.knn = 2; },
      [](Config& c) { c.memory.row_gradient = engine::RowGradientKind::kAccumulated; },
      [](Config& c) { c.tiers.store.disk_bytes = 1 << 30; },
      [](Config& c) { c.tiers.store.host_link_bytes_per_second = 0; },
      [](Config& c) { c.tiers.store.disk_link_bytes_per_second = 0; }};
  for (std::size_t i = 0; i < trained.size(); ++i) {
    const Replayable other = replayable(config(trained[i]));
    EXPECT_EQ(other.why_not, "") << i;
    EXPECT_NE(other.group, own.group) << i;
  }
  // Of a disk whose speed only a run can measure.
  const auto undeclared = [](std::uint32_t depth) {
    return [depth](Config& c) {
      c.tiers.store.disk_link_bytes_per_second = 0;
      c.tiers.store.io_depth = depth;
    };
  };
  EXPECT_NE(replayable(config(undeclared(4))).group, replayable(config(undeclared(8))).group);
}

TEST_F(AblateReplayable, WhatDependsOnTimeOrOnWhatIsWhereIsTrained) {
  const std::vector<std::pair<Change, const char*>> cases = {
      {[](Config& c) { c.model.feed_forward = engine::BlockKinds::parse("dense"); }, "no memory"},
      {[](Config& c) { c.tiers.prefetch = memory::PredictorKind::kTokenHistory; }, "prefetch"},
      {[](Config& c) { c.checkpoint.every = 2; }, "checkpoint.every"},
      {[](Config& c) { c.checkpoint.final = true; }, "checkpoint.final"},
      {[](Config& c) { c.tiers.store.disk_bytes = 64 << 10; }, "tiers.disk_bytes"},
      {[](Config& c) { c.tiers.automatic.host = true; }, "auto"},
      {[](Config& c) { c.tiers.store.device_bytes = 100; }, "too small"}};
  for (const auto& [change, part] : cases) {
    const Replayable found = replayable(config(change));
    EXPECT_NE(found.why_not.find(part), std::string::npos) << part << ": " << found.why_not;
  }
}

TEST_F(AblateReplayable, TimesAreWhatIsPredicted) {
  for (const char* name : {"step_ms", "tokens_per_s", "stall_share", "time.forward.ms",
                           "moves.host_to_device.bytes_per_s", "moves.disk_to_device.bytes"}) {
    EXPECT_TRUE(is_predicted(name)) << name;
  }
  for (const char* name : {"reads.disk", "loss", "validation_loss", "moves.disk_to_device.rows",
                           "moves.host_to_device.bytes", "moves.device_to_disk.bytes", "steps"}) {
    EXPECT_FALSE(is_predicted(name)) << name;
  }
}

TEST_F(AblateReplayable, ARunWithoutATraceAnswersNothing) {
  run_.train(config());
  EXPECT_THROW(Answers(run_.disk(), config().run.directory, [] {}), io::Error);
}

}  // namespace
}  // namespace mneme::ablate
