// The long campaign of checkpoint_crash_test: at least 20,000 crash states.
#include <cstdio>

#include "tests/engine/checkpoint_crash.h"

namespace mneme::engine::testing {
namespace {

using CheckpointCrashCampaign = CheckpointCrash;

TEST_F(CheckpointCrashCampaign, EveryCrashStateOpensAsTheLastCommittedCheckpoint) {
  const std::size_t states = campaign(24, 14, 1);
  std::printf("%zu crash states opened\n", states);
  EXPECT_GE(states, 20000u);
}

}  // namespace
}  // namespace mneme::engine::testing
