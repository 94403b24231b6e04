// Kills runs at every named point and at random moments, some of them several times over. Only runs
// that were really killed count.
#include <cstdio>
#include <iterator>

#include "tests/tools/kill_run.h"

namespace mneme::test {
namespace {

class KillCampaign : public KillRun {
 protected:
  using KillRun::KillRun;
  // So many kills at each point and at random moments.
  void kill(std::uint64_t at_each_point, std::uint64_t at_random);
};

void KillCampaign::kill(std::uint64_t at_each_point, std::uint64_t at_random) {
  std::mt19937_64 random(5);
  std::map<std::string, std::uint64_t> killed;  // by point; "" at random moments
  const auto wanted = [&](const std::string& point) {
    return killed[point] < (point.empty() ? at_random : at_each_point);
  };
  std::vector<std::string> points = {""};
  for (const auto& [point, fault] : kill_points()) points.push_back(point);
  std::uint64_t runs = 0;
  while (std::any_of(points.begin(), points.end(), wanted)) {
    ASSERT_LT(++runs, 400u) << "kills that never strike";
    std::vector<Kill> kills(1 + random() % 4);
    for (Kill& kill : kills) {
      do {
        kill.point = points[random() % points.size()];
      } while (!wanted(kill.point) && std::any_of(points.begin(), points.end(), wanted));
      kill.passing = 1 + random() % (kill.point == "write-submitted" ? 60 : 3);
      kill.delay_us = std::int64_t(random() % std::uint64_t(length_us()));
    }
    // Only a run that died before its first checkpoint has something to remove when it starts
    // again.
    if (wanted("unfinished-removed")) {
      const Kill first[] = {{.point = "step"}, {.point = "unfinished-removed"}};
      kills.insert(kills.begin(), std::begin(first), std::end(first));
    }
    const std::vector<bool> struck = this->struck("run-" + std::to_string(runs), kills);
    for (std::size_t i = 0; i < kills.size(); ++i) killed[kills[i].point] += struck[i] ? 1 : 0;
    if (HasFailure()) break;
  }
  std::uint64_t all = 0;
  for (const auto& [point, count] : killed) {
    std::printf("%6llu kills at %s\n", static_cast<unsigned long long>(count),
                point.empty() ? "random moments" : point.c_str());
    all += count;
  }
  std::printf("%llu kills of %llu runs, seed 5\n", static_cast<unsigned long long>(all),
              static_cast<unsigned long long>(runs));
}

TEST_F(KillCampaign, NoKillLosesACommittedCheckpointOrChangesABit) {
  kill(5, 40);
}

// Rows of two parts, that PEER and a memory layer share.
class PeerKillCampaign : public KillCampaign {
 protected:
  PeerKillCampaign() : KillCampaign("peer@1 memory@2") {}
};

TEST_F(PeerKillCampaign, NoKillLosesACommittedCheckpointOrChangesABit) {
  kill(1, 20);
}

}  // namespace
}  // namespace mneme::test
