// Which cells an ablation calls the best, and what its page shows of all; from made-up results.
#include "tools/ablate/ablation_best.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>

#include "io/disk.h"
#include "tests/tools/bad_input.h"
#include "tools/ablate/ablation_formats.h"
#include "tools/ablate/ablation_page.h"

namespace mneme::ablate {
namespace {

class AblateBest : public test::BadInput {
 protected:
  // [cells][repeats] of tokens/s; NaN: that run failed.
  std::unique_ptr<Ablation> ablation(const std::string& text,
                                     const std::vector<std::vector<double>>& speeds,
                                     const std::vector<double>& losses = {}) {
    const std::string head =
        fmt::format("config = \"{}\"\ndirectory = \"{}\"\n", file(), run_.path("a"));
    const Grid grid = parse_grid(head + text, "g.toml");
    const std::vector<PlannedRun> runs = Ablation(run_.disk(), grid).runs();
    Results results(run_.disk(), grid.directory);
    for (const PlannedRun& planned : runs) {
      RunResult result;
      result.identity = planned.identity;
      result.repeat = planned.repeat;
      result.settings = grid.cells[planned.cell].settings;
      const double speed = speeds.at(planned.cell).at(static_cast<std::size_t>(planned.repeat));
      if (std::isnan(speed)) {
        result.outcome = Outcome::kFailed;
        result.error = "<it> broke";
      } else {
        result.numbers = {{"tokens_per_s", speed},
                          {"step_ms", 1e6 / speed},
                          {"time.stall.disk.share", 0.25},
                          {"time.stall.host.share", 0.125},
                          {"moves.disk_to_device.bytes", 4000},
                          {"moves.device_to_disk.bytes", 2000},
                          {"validation_loss", losses.empty() ? 2.5 : losses.at(planned.cell)}};
      }
      results.add(std::move(result));
    }
    return std::make_unique<Ablation>(run_.disk(), grid);
  }
};

constexpr double kFailed = std::numeric_limits<double>::quiet_NaN();

TEST_F(AblateBest, TheFrontHasWhatNothingBeats) {
  const auto a = ablation(
      "[axes]\ntiers.device_bytes = [\"30%\", \"60%\", \"90%\"]\n"
      "tiers.device_policy = [\"lru\", \"lfu\"]\n",
      {{100}, {200}, {150}, {190}, {300}, {kFailed}});
  const std::vector<CellPoint> points = points_of(*a, Cost::kDeviceBytes);
  std::vector<std::size_t> cells, front;
  for (const CellPoint& point : points) {
    cells.push_back(point.cell);
    if (point.is_on_front) front.push_back(point.cell);
  }
  EXPECT_EQ(cells, (std::vector<std::size_t>{1, 0, 3, 2, 4}));
  EXPECT_EQ(front, (std::vector<std::size_t>{1, 4}));
  EXPECT_NEAR(points[4].cost / points[0].cost, 3, 0.1);
  // 6000 bytes a step of 1000 tokens.
  for (const CellPoint& point : points_of(*a, Cost::kBytesMoved)) EXPECT_NEAR(point.cost, 6, 1e-9);
}

TEST_F(AblateBest, WordsNameTheFastestTheSmallestAndTheLoss) {
  const std::string text =
      "repeats = 3\n[axes]\ntiers.device_bytes = [\"30%\", \"60%\", \"90%\"]\n";
  auto a = ablation(text, {{700, 710, 690}, {960, 970, 980}, {1000, 990, 975}});
  std::vector<std::string> words = best_in_words(*a);
  ASSERT_EQ(words.size(), 3u);
  EXPECT_EQ(words[0],
            "The fastest is device_bytes 90%, with 990 tokens/s (975 to 1000 in 3 runs); 1 other "
            "cell had a run as fast as its slowest one.");
  EXPECT_EQ(words[1].substr(0, 63),
            "Within 5% of it, device_bytes 60% has the least device memory: ");
  EXPECT_TRUE(words[1].ends_with("with 970 tokens/s (960 to 980 in 3 runs).")) << words[1];
  EXPECT_EQ(words[2], "The validation loss is 2.5000 in every run, to the last bit.");
}

TEST_F(AblateBest, WordsSayWhichLossIsLowest) {
  const auto a = ablation("[axes]\ntrain.batch = [1, 2]\n", {{500}, {400}}, {2.5, 2.25});
  EXPECT_EQ(best_in_words(*a),
            (std::vector<std::string>{
                "The fastest is batch 1, with 500 tokens/s.",
                "The validation loss is lowest with batch 2: 2.2500; the highest is 2.5000."}));
}

TEST_F(AblateBest, WithoutADoneRunNothingIsBest) {
  const auto a = ablation("[axes]\ntrain.batch = [1, 2]\n", {{kFailed}, {kFailed}});
  EXPECT_TRUE(best_in_words(*a).empty());
  const std::string page = ablation_page(*a);
  EXPECT_NE(page.find("No run is done yet."), std::string::npos);
  EXPECT_NE(page.find("failed: &lt;it&gt; broke"), std::string::npos);
}

TEST_F(AblateBest, ThePageDrawsEveryAxisAndPairAndShowsEveryCell) {
  const auto a = ablation(
      "[axes]\ntiers.device_bytes = [\"30%\", \"60%\"]\n"
      "tiers.device_policy = [\"lru\", \"lfu\"]\ntrain.batch = [1]\n",
      {{111}, {222}, {333}, {kFailed}});
  const std::string page = ablation_page(*a);
  for (const char* part :
       {"Over device_bytes", "Over device_policy", "class=\"heat\"", "on the Pareto front",
        "\"x_labels\":[\"30%\",\"60%\"]", "failed: &lt;it&gt; broke", "The fastest is",
        "\"names\":[\"device_bytes 30%, device_policy lfu, batch 1\"", "\"values\":[37.5,37.5]"}) {
    EXPECT_NE(page.find(part), std::string::npos) << part;
  }
  // An axis of one value is no choice.
  EXPECT_EQ(page.find("Over batch"), std::string::npos);
  EXPECT_EQ(page.find("http"), page.find("http-equiv")) << "it asks for something";
}

}  // namespace
}  // namespace mneme::ablate
