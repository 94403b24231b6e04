// Calls of every function fail with every error that it is tried with: of a run that trains, and of
// what is done with a run afterwards. MNEME_FAULT_CALLS says how many calls of each function are
// tried in training, evenly spread; 1000 tries every one, which takes a quarter of an hour or more.
#include <cstdio>
#include <cstdlib>

#include "tests/tools/fault_trials.h"

namespace mneme::test {
namespace {

std::uint64_t calls_of_training() {
  const char* wanted = std::getenv("MNEME_FAULT_CALLS");
  return wanted == nullptr ? 6 : std::strtoull(wanted, nullptr, 10);
}

TEST(FaultCampaign, EveryFailureEndsInTheRightResultOrAClearLine) {
  const std::uint64_t most_calls_of_training = calls_of_training();
  const std::uint64_t most_calls_of_others = most_calls_of_training < 100 ? 2 : 12;
  FaultRuns runs;
  Tally sum;
  for (const Command command :
       {Command::kTrain, Command::kTrainOnRing, Command::kResume, Command::kVerify,
        Command::kInspect, Command::kEval, Command::kGenerate, Command::kExport}) {
    const bool training = command == Command::kTrain || command == Command::kTrainOnRing;
    const std::vector<Trial> trials =
        trials_of(runs, command, training ? most_calls_of_training : most_calls_of_others);
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
  EXPECT_GE(sum.runs - sum.untouched, most_calls_of_training < 100 ? 500u : 1000u);
}

}  // namespace
}  // namespace mneme::test
