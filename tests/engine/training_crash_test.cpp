// A committed checkpoint is never lost: whatever a crash leaves of unsynced operations, the run
// opens as its last committed checkpoint, and ends as if nothing had happened.
// training_crash_campaign.cpp opens every state.
#include "tests/engine/training_crash.h"

namespace mneme::engine::testing {
namespace {

TEST_F(TrainingCrash, EverySampledCrashStateGoesOnFromTheLastCommittedCheckpoint) {
  EXPECT_GE(campaign(1, 17).states, 50u);
}

TEST_F(TrainingCrash, ASecondCrashLosesNothingEither) {
  crash_half_way();
  EXPECT_GE(campaign(1, 17).states, 30u);
}

TEST_F(TrainingCrash, ARunThatStartsAgainAfterACrashCanCrashAtAnyMoment) {
  crash_before_the_first_checkpoint();
  EXPECT_GE(campaign(1, 17).states, 50u);
}

}  // namespace
}  // namespace mneme::engine::testing
