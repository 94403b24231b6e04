// What auto decides, from made-up step times.
#include "engine/prefetch/prefetch_trial.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace mneme::engine {
namespace {

struct Outcome {
  std::size_t kept = 0;
  std::vector<int> steps;  // by candidate
  std::vector<PrefetchDecision> decisions;
  double ms = 0;
};

// ms: of a step, by candidate; noise: its standard deviation, as a share; drift: how much slower
// the machine becomes and is again, over 200 steps.
Outcome run(const std::vector<double>& ms, double stall_share, int steps, double noise = 0.01,
            double drift = 0, unsigned seed = 1) {
  PrefetchTrial trial(ms.size());
  Outcome outcome{.steps = std::vector<int>(ms.size()), .decisions = {}};
  std::mt19937 random(seed);
  std::normal_distribution<double> draw(1, noise);
  for (int step = 0; step < steps; ++step) {
    const std::size_t candidate = trial.current();
    ++outcome.steps[candidate];
    const double slower = 1 + drift * std::abs(step % 200 - 100) / 100.0;
    const double took = ms[candidate] * slower * draw(random);
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
  EXPECT_NEAR(outcome.decisions[0].ratio, 0.7, 0.02);
  EXPECT_NEAR(outcome.decisions[0].ms_without, 100, 3);
  // What loses clearly has one turn.
  EXPECT_EQ(outcome.steps[3], PrefetchTrial::kTurnSteps);
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
  ASSERT_FALSE(outcome.decisions.empty());
  for (const PrefetchDecision& one : outcome.decisions) EXPECT_EQ(one.candidate, 0u);
  EXPECT_LT(outcome.ms, 1.02 * 100 * 1500);
}

TEST(PrefetchTrialTest, AGainWithinTheNoiseIsNone) {
  for (const double noise : {0.0, 0.01}) {
    EXPECT_EQ(run({100, 99.5, 99}, 0.3, 1000, noise).kept, 0u);
  }
}

// Steps that differ by 7% and a machine that changes its speed by a quarter do not hide a gain of
// 13%, and do not make one.
TEST(PrefetchTrialTest, ANoisyMachineDoesNotDecide) {
  int kept = 0, kept_slower = 0;
  for (unsigned seed = 0; seed < 200; ++seed) {
    kept += run({100, 87, 108, 109, 130}, 0.25, 400, 0.07, 0.25, seed).kept == 1 ? 1 : 0;
    kept_slower += run({100, 106, 108, 109, 130}, 0.25, 400, 0.07, 0.25, seed).kept != 0 ? 1 : 0;
  }
  EXPECT_GE(kept, 195);
  EXPECT_LE(kept_slower, 5);
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
