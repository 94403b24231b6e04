// Promise 5 under `kill -9`: a run killed and resumed ends with the bits of one that nobody killed.
#include "tests/tools/kill_run.h"

namespace mneme::test {
namespace {

TEST_F(KillRun, AKillBeforeTheFirstCheckpointIsCommittedStartsAfresh) {
  survives("run",
           {{.point = "step"}, {.point = "checkpoint-begin"}, {.point = "manifest-written"}});
}

TEST_F(KillRun, ARunThatStartsAgainCanBeKilledWhileItTidiesUp) {
  survives("run", {{.point = "step"},
                   {.point = "config-renamed"},
                   {.point = "step"},
                   {.point = "unfinished-removed"}});
}

TEST_F(KillRun, AKillAroundTheRenameOfTheManifestLosesNothing) {
  survives("run", {{.point = "manifest-renamed"},
                   {.point = "checkpoint-committed"},
                   {.point = "manifest-written"}});
}

TEST_F(KillRun, AKillWhileRecordsAreWrittenLosesNothing) {
  survives("run", {{.point = "write-submitted", .passing = 40},
                   {.point = "checkpoint-flushed"},
                   {.point = "write-submitted", .passing = 15}});
}

TEST_F(KillRun, AKillBetweenTheFilesOfACheckpointLosesNothing) {
  survives("run", {{.point = "checkpoint-table"},
                   {.point = "checkpoint-dense", .passing = 2},
                   {.point = "checkpoint-table"}});
}

TEST_F(KillRun, AKillAtAnyMomentLosesNothing) {
  std::mt19937_64 random(11);
  std::uint64_t kills = 0;
  for (int runs = 1; kills < 2; ++runs) {
    ASSERT_LE(runs, 20) << "kills that never strike";
    const auto delay = std::int64_t(random() % std::uint64_t(length_us()));
    for (const bool killed :
         struck("run-" + std::to_string(runs), {{.point = {}, .passing = 1, .delay_us = delay}})) {
      kills += killed ? 1 : 0;
    }
  }
}

}  // namespace
}  // namespace mneme::test
