// How often the host waits for the device in a training step. On a GPU each of these waits leaves
// the device without work for as long as the host takes to come back.
#include <emulator/call_counts.h>

#include "engine/train_step.h"
#include "tests/engine/tiny_run.h"

namespace mneme::engine::testing {
namespace {

class StepCounts : public ::testing::Test {
 protected:
  // Of one step, after the first ones have made what is made once.
  emulator::CallCounts count_step(Config config) {
    config.run.device = DeviceKind::kCuda;
    engine::Run run(config, files_.disk());
    run.initialize();
    TrainStep step(run, /*will_be_saved=*/false);
    const auto next_batch = [&config](std::int64_t, Batch& batch) {
      batch.tokens.assign(std::size_t(config.tokens_per_micro_batch()), 1);
      batch.targets.assign(std::size_t(config.tokens_per_micro_batch()), 2);
    };
    for (std::uint64_t t = 1; t <= 3; ++t) step.take(t, next_batch);
    const emulator::CallCounts before = emulator::call_counts();
    step.take(4, next_batch);
    return emulator::call_counts().since(before);
  }

  TinyRun files_;
};

TEST_F(StepCounts, ADenseModelIsWaitedForOnce) {
  Config config = files_.config("dense");
  config.model.feed_forward = {};
  EXPECT_EQ(count_step(config).synchronisations, 1u);
}

// A layer of a micro-batch: its distinct rows are counted and looked up in one, for its forward,
// and looked up for its backward. The step: its distinct rows and their look-up in one, their norm,
// the loss.
TEST_F(StepCounts, AMemoryIsWaitedForWhereTheHostNeedsACount) {
  Config config = files_.config("memory");
  for (const std::int64_t micro_batches : {1, 2}) {
    config.train.micro_batches = micro_batches;
    config.run.directory = files_.path("memory" + std::to_string(micro_batches));
    const std::uint64_t layers = config.table_blocks().size() * std::uint64_t(micro_batches);
    EXPECT_EQ(count_step(config).synchronisations, 2 * layers + 3);
  }
}

}  // namespace
}  // namespace mneme::engine::testing
