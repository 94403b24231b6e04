// The long campaign of training_crash_test.cpp: at least 20,000 crash states.
#include <cstdio>

#include "tests/engine/training_crash.h"

namespace mneme::engine::testing {
namespace {

class TrainingCrashCampaign : public TrainingCrash {
 protected:
  static void expect_states(const Tally& tally, std::size_t least) {
    std::printf(
        "%zu crash states, %zu different images of the disk opened and trained to the end\n",
        tally.states, tally.images);
    EXPECT_GE(tally.states, least);
  }
};

TEST_F(TrainingCrashCampaign, EveryCrashStateGoesOnFromTheLastCommittedCheckpoint) {
  expect_states(campaign(40, 1), 20000);
}

TEST_F(TrainingCrashCampaign, ASecondCrashLosesNothingEither) {
  crash_half_way();
  expect_states(campaign(14, 1), 5000);
}

TEST_F(TrainingCrashCampaign, ARunThatStartsAgainAfterACrashCanCrashAtAnyMoment) {
  crash_before_the_first_checkpoint();
  expect_states(campaign(10, 1), 5000);
}

}  // namespace
}  // namespace mneme::engine::testing
