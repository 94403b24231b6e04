// Promise 5 under `kill -9`: a run killed and resumed ends with the bits of one that nobody killed.
#include "tests/tools/kill_run.h"

namespace mneme::test {
namespace {

TEST_F(KillRun, AKillBeforeTheFirstCheckpointIsCommittedStartsAfresh) {
  EXPECT_TRUE(survives("run", {{.point = "step"}, {.point = "manifest-written"}}));
}

TEST_F(KillRun, AKillAroundTheRenameOfTheManifestLosesNothing) {
  EXPECT_TRUE(survives("run", {{.point = "manifest-renamed"},
                               {.point = "checkpoint-committed", .passing = 2},
                               {.point = "manifest-written"}}));
}

TEST_F(KillRun, AKillWhileRecordsAreWrittenLosesNothing) {
  EXPECT_TRUE(survives("run", {{.point = "write-submitted", .passing = 150},
                               {.point = "checkpoint-flushed"},
                               {.point = "write-submitted", .passing = 60}}));
}

TEST_F(KillRun, AKillAtAnyMomentLosesNothing) {
  std::mt19937_64 random(11);
  std::vector<Kill> kills(3);
  for (Kill& kill : kills) kill.delay_us = std::int64_t(random() % std::uint64_t(length_us_));
  survives("run", kills);
}

}  // namespace
}  // namespace mneme::test
