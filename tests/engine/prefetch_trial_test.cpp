// What auto decides, from made-up step times.
#include "engine/prefetch/prefetch_trial.h"

#include <gtest/gtest.h>

#include <random>

namespace mneme::engine {
namespace {

struct Outcome {
  std::size_t kept = 0;
  std::vector<int> steps;  // by candidate
  std::vector<PrefetchDecision> decisions;
  double ms = 0;
};

// ms: of a step, by candidate; noise: its standard deviation, as a share.
Outcome run(const std::vector<double>& ms, double stall_share, int steps, double noise = 0.01) {
  PrefetchTrial trial(ms.size());
  Outcome outcome{.steps = std::vector<int>(ms.size()), .decisions = {}};
  std::mt19937 random(1);
  std::normal_distribution<double> draw(1, noise);
  for (int step = 0; step < steps; ++step) {
    const std::size_t candidate = trial.current();
    ++outcome.steps[candidate];
    const double took = ms[candidate] * draw(random);
    outcome.ms += took;
    trial.note(took, stall_share * took);
    if (const auto decision = trial.take_decision()) outcome.decisions.push_back(*decision);
  }
  outcome.kept = trial.current();
  return outcome;
}

TEST(PrefetchTrialTest, KeepsTheFastest) {
  const Outcome outcome = run({100, 90, 70, 120}, 0.4, 1000);
  EXPECT_EQ(outcome.kept, 2u);
  ASSERT_EQ(outcome.decisions.size(), 1u);
  EXPECT_NEAR(outcome.decisions[0].ms, 70, 2);
  EXPECT_NEAR(outcome.decisions[0].ms_without, 100, 3);
  // What loses clearly has one turn.
  EXPECT_EQ(outcome.steps[3], PrefetchTrial::kWarmSteps + PrefetchTrial::kMeasuredSteps);
  EXPECT_GT(outcome.steps[2], 700);
}

TEST(PrefetchTrialTest, NothingIsTriedWhereNothingIsWaitedFor) {
  const Outcome outcome = run({100, 50}, 0.01, 5000);
  EXPECT_EQ(outcome.kept, 0u);
  EXPECT_EQ(outcome.steps[1], 0);
  EXPECT_TRUE(outcome.decisions.empty());
}

TEST(PrefetchTrialTest, WhatDoesNotPayCostsLittle) {
  const Outcome outcome = run({100, 125, 130, 150, 110}, 0.3, 1500);
  EXPECT_EQ(outcome.kept, 0u);
  ASSERT_EQ(outcome.decisions.size(), 1u);
  EXPECT_EQ(outcome.decisions[0].candidate, 0u);
  EXPECT_LT(outcome.ms, 1.02 * 100 * 1500);
}

TEST(PrefetchTrialTest, AGainWithinTheNoiseIsNone) {
  for (const double noise : {0.0, 0.01}) {
    EXPECT_EQ(run({100, 99.5, 99}, 0.3, 1000, noise).kept, 0u);
  }
}

TEST(PrefetchTrialTest, MeasuresAgainEverLater) {
  const Outcome outcome = run({100, 80}, 0.3, 40000);
  EXPECT_GE(outcome.decisions.size(), 2u);
  EXPECT_LE(outcome.decisions.size(), 4u);
  EXPECT_EQ(outcome.kept, 1u);
  EXPECT_LT(outcome.ms, 1.01 * 80 * 40000);
}

}  // namespace
}  // namespace mneme::engine
