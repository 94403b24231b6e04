// Kills runs at named points and at random moments, some of them several times over.
#include <cstdio>

#include "tests/tools/kill_run.h"

namespace mneme::test {
namespace {

constexpr std::uint64_t kKillsOfEachKind = 30;

TEST_F(KillRun, NoKillLosesACommittedCheckpointOrChangesABit) {
  static const std::vector<std::string> kPoints = {"step",
                                                   "checkpoint-begin",
                                                   "checkpoint-flushed",
                                                   "checkpoint-table",
                                                   "write-submitted",
                                                   "checkpoint-dense",
                                                   "manifest-written",
                                                   "manifest-renamed",
                                                   "checkpoint-committed"};
  std::mt19937_64 random(5);
  std::uint64_t runs = 0;
  std::uint64_t next_point = 0;
  while (killed_at_points_ < kKillsOfEachKind || killed_at_random_ < kKillsOfEachKind) {
    ASSERT_LT(++runs, 400u) << "kills that never strike";
    std::vector<Kill> kills(1 + random() % 4);
    for (Kill& kill : kills) {
      if (killed_at_points_ <= killed_at_random_) {
        kill.point = kPoints[next_point++ % kPoints.size()];
        kill.passing = 1 + random() % (kill.point == "write-submitted" ? 200 : 3);
      } else {
        kill.delay_us = std::int64_t(random() % std::uint64_t(length_us_));
      }
    }
    survives("run-" + std::to_string(runs), kills);
    if (HasFailure()) break;
  }
  std::printf("%llu kills at named points, %llu at random moments, %llu runs, seed 5\n",
              static_cast<unsigned long long>(killed_at_points_),
              static_cast<unsigned long long>(killed_at_random_),
              static_cast<unsigned long long>(runs));
}

}  // namespace
}  // namespace mneme::test
