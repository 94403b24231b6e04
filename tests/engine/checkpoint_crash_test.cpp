// A committed checkpoint is never lost: whatever a crash leaves of unsynced operations, the run
// opens as its last committed checkpoint, and goes on from there. checkpoint_campaign.cpp opens
// them all.
#include "tests/engine/checkpoint_crash.h"

namespace mneme::engine::testing {
namespace {

TEST_F(CheckpointCrash, EverySampledCrashStateOpensAsTheLastCommittedCheckpoint) {
  EXPECT_GT(campaign(10, 1, 9), 100u);
}

}  // namespace
}  // namespace mneme::engine::testing
