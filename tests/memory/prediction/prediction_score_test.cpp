// Scores of predictions by hand, and the hottest rows against sorting all of them.
#include "memory/prediction/prediction_score.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "memory/prediction/calibration.h"

namespace mneme::memory {
namespace {

using kernels::RowId;

TEST(PredictionScoreTest, CountsHitsWithinBudgets) {
  HotRows hot(10);
  hot.add(std::vector<RowId>{0, 1, 2, 3});
  hot.add(std::vector<RowId>{0, 1});
  const std::vector<RowId> read = {1, 3, 5, 7};
  // In the order of their confidence: 1, 9, 8, 6, 5, 7, 4, 3, 0.
  PredictedRows predicted;
  for (const auto& [row, rank] : std::map<RowId, int>{
           {0, 8}, {1, 0}, {3, 7}, {4, 6}, {5, 4}, {6, 3}, {7, 5}, {8, 2}, {9, 1}}) {
    predicted.push_back({.row = row, .confidence = 0.9f - 0.1f * static_cast<float>(rank)});
  }
  const PredictionScore score = score_of(predicted, read, hot);
  EXPECT_EQ(score.read, 4u);
  EXPECT_EQ(score.predicted, 9u);
  EXPECT_EQ(score.hits, 4u);
  EXPECT_EQ(score.hits_at, (std::array<std::uint64_t, 3>{1, 3, 4}));
  EXPECT_EQ(score.recall_at(1), 0.75);
  // Rows 0 and 1 have two steps, 2 and 3 one: the hottest four are these.
  EXPECT_EQ(score.hottest_at, (std::array<double, 3>{2, 2, 2}));
  PredictionScore sum = score;
  sum += score;
  EXPECT_EQ(sum.steps, 2u);
  EXPECT_EQ(sum.recall(), 1);
  EXPECT_EQ(PredictionScore{}.recall(), 0);
}

TEST(HotRowsTest, AreThoseOfTheMostSteps) {
  constexpr RowId kRows = 300;
  HotRows hot(kRows);
  std::vector<std::uint32_t> steps(kRows);
  std::mt19937 random(2);
  for (int step = 0; step < 200; ++step) {
    std::set<RowId> rows;
    for (int i = 0; i < 40; ++i) rows.insert((random() % kRows) * (random() % kRows) / kRows);
    const std::vector<RowId> list(rows.begin(), rows.end());
    if (step % 20 == 19) {
      for (const std::uint64_t most : {0u, 1u, 30u, 77u, 299u, 500u}) {
        // Expected: rows above the threshold, and the share of ties.
        std::vector<std::uint32_t> sorted = steps;
        std::sort(sorted.rbegin(), sorted.rend());
        double expected = 0;
        for (const RowId row : list) {
          const auto above = static_cast<std::uint64_t>(
              std::count_if(steps.begin(), steps.end(), [&](auto x) { return x > steps[row]; }));
          const auto ties =
              static_cast<std::uint64_t>(std::count(steps.begin(), steps.end(), steps[row]));
          if (steps[row] == 0 || above >= most) continue;
          expected += std::min(1.0, static_cast<double>(most - above) / static_cast<double>(ties));
        }
        EXPECT_NEAR(hot.hits(list, most), expected, 1e-9) << most;
      }
    }
    hot.add(list);
    for (const RowId row : list) ++steps[row];
  }
}

TEST(CalibrationTest, BucketsAreFineWhereVotesAreFew) {
  for (std::uint32_t votes = 1; votes <= 8; ++votes) {
    EXPECT_EQ(Calibration::bucket_of(votes), votes - 1);
  }
  EXPECT_EQ(Calibration::bucket_of(15), 7u);
  EXPECT_EQ(Calibration::bucket_of(16), 8u);
  EXPECT_EQ(Calibration::bucket_of(32), 9u);
  EXPECT_EQ(Calibration::bucket_of(0xffffffffu), Calibration::kBuckets - 1);
  Calibration calibration;
  for (std::uint32_t votes = 2; votes < 100; ++votes) {
    EXPECT_GE(calibration.confidence(votes), calibration.confidence(votes - 1));
    EXPECT_LE(calibration.confidence(votes), 1);
  }
}

}  // namespace
}  // namespace mneme::memory
