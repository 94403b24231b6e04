// A committed checkpoint is never lost: whatever a crash leaves of unsynced operations, the run
// opens as its last committed checkpoint, and ends as if nothing had happened.
// training_crash_campaign.cpp opens every state.
#include "tests/engine/training_crash.h"

namespace mneme::engine::testing {
namespace {

TEST_F(TrainingCrash, TheRunHasHintsVictimsAndCheckpointsBehindTrainingOnTheWayToTheDisk) {
  std::uint64_t hinted = 0, victims = 0, behind = 0;
  for (const nlohmann::json& line : lines()) {
    const nlohmann::json& total = line["books"]["total"];
    hinted += total["moves"]["disk_to_host"]["rows"].get<std::uint64_t>();
    const bool saves = line["step"].get<std::uint64_t>() % 2 == 0;
    for (const nlohmann::json& account : line["books"]["accounts"]) {
      if (!account.contains("moves")) continue;
      const nlohmann::json& moves = account["moves"];
      if (account["cause"] != "checkpoint") {
        victims += moves.contains("host_to_disk") ? 1 : 0;
      } else if (!saves) {
        behind += moves.contains("host_to_disk") || moves.contains("device_to_disk") ? 1 : 0;
      }
    }
  }
  EXPECT_GT(hinted, 0u);
  EXPECT_GT(victims, 0u);
  EXPECT_GT(behind, 0u);
}

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
