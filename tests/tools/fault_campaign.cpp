// Every call of every function fails once with every error that it is tried with: of a run that
// trains, and of what is done with a run afterwards.
#include <cstdio>

#include "tests/tools/fault_trials.h"

namespace mneme::test {
namespace {

TEST(FaultCampaign, EveryFailureEndsInTheRightResultOrAClearLine) {
  constexpr std::uint64_t kMostCallsOfTraining = 1000;
  constexpr std::uint64_t kMostCallsOfOthers = 12;
  FaultRuns runs;
  Tally sum;
  for (const Command command :
       {Command::kTrain, Command::kTrainOnRing, Command::kResume, Command::kVerify,
        Command::kInspect, Command::kEval, Command::kGenerate, Command::kExport}) {
    const bool training = command == Command::kTrain || command == Command::kTrainOnRing;
    const std::vector<Trial> trials =
        trials_of(runs, command, training ? kMostCallsOfTraining : kMostCallsOfOthers);
    Tally tally = try_all(runs, trials);
    std::printf("%s: %llu runs, %llu right, %llu refused in one line, %llu untouched\n",
                name_of(command), static_cast<unsigned long long>(tally.runs),
                static_cast<unsigned long long>(tally.right),
                static_cast<unsigned long long>(tally.refused),
                static_cast<unsigned long long>(tally.untouched));
    std::fflush(stdout);
    // How often a ring is entered depends on the moment; other calls do not.
    if (command != Command::kTrainOnRing) {
      EXPECT_LE(tally.untouched, tally.runs / 100) << "calls that were counted and did not come";
    }
    sum.runs += tally.runs;
    sum.right += tally.right;
    sum.refused += tally.refused;
    sum.untouched += tally.untouched;
    for (const auto& [message, count] : tally.messages) sum.messages[message] += count;
    for (const std::string& problem : tally.problems) ADD_FAILURE() << problem;
  }
  for (const auto& [message, count] : sum.messages) {
    std::printf("%6llu %s", static_cast<unsigned long long>(count), message.c_str());
  }
  std::printf("%llu runs with a failing call: %llu right, %llu refused in one line\n",
              static_cast<unsigned long long>(sum.runs - sum.untouched),
              static_cast<unsigned long long>(sum.right),
              static_cast<unsigned long long>(sum.refused));
  EXPECT_GE(sum.runs - sum.untouched, 1000u);
}

}  // namespace
}  // namespace mneme::test
