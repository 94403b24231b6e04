// What a value table promises beyond its numbers: evaluation leaves no trace, tables do not meet,
// threads and restarts change nothing.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "tests/memory/touches.h"

namespace mneme::test {
namespace {

using kernels::RowId;
using kernels::RowOptimizerKind;

const char* name_of(Budget budget) {
  return budget == Budget::kAllResident ? "all resident"
         : budget == Budget::kHost      ? "host"
                                        : "disk";
}

TEST(ValueTable, EvaluationBetweenStepsChangesNoBitOfLaterTraining) {
  const std::vector<Touch> plan = touches(30, 21);
  const memory::ValueTableOptions options = options_for(RowOptimizerKind::kAdamW);
  for (const Budget budget : {Budget::kAllResident, Budget::kHost, Budget::kDisk}) {
    SCOPED_TRACE(name_of(budget));
    TableRun plain(options, kMostRows, budget), evaluated(options, kMostRows, budget);
    for (std::uint64_t t = 1; t <= plan.size(); ++t) {
      const Touch& touch = plan[t - 1];
      plain.step(t, touch.rows, touch.gradients);
      evaluated.step(t, touch.rows, touch.gradients);
      evaluated.evaluate(t, plan[t % plan.size()].rows);
      ASSERT_EQ(evaluated.read(), plain.read()) << "step " << t;
    }
    EXPECT_TRUE(evaluated.records() == plain.records());
  }
}

TEST(ValueTable, EvaluationExportAndTheNextForwardReadTheSameValues) {
  const std::vector<Touch> plan = touches(20, 22);
  for (const Budget budget : {Budget::kAllResident, Budget::kDisk}) {
    SCOPED_TRACE(name_of(budget));
    TableRun run(options_for(RowOptimizerKind::kAdamW), kMostRows, budget);
    for (std::uint64_t t = 1; t < plan.size(); ++t) {
      run.step(t, plan[t - 1].rows, plan[t - 1].gradients);
      const std::vector<RowId>& next = plan[t].rows;
      const std::vector<float> evaluated = run.evaluate(t, next);
      const std::vector<float> exported = run.values(t);
      for (std::size_t i = 0; i < evaluated.size(); ++i) {
        ASSERT_EQ(evaluated[i], exported[next[i / kWidth] * kWidth + i % kWidth]) << "step " << t;
      }
      run.step(t + 1, next, plan[t].gradients);
      ASSERT_EQ(run.read(), evaluated) << "step " << t;
      ++t;
    }
  }
}

TEST(ValueTable, TwoTablesInOneProcessDoNotInteract) {
  const std::vector<Touch> plan = touches(25, 23), other_plan = touches(25, 24);
  const memory::ValueTableOptions options = options_for(RowOptimizerKind::kAdamW);
  memory::ValueTableOptions other_options = options_for(RowOptimizerKind::kSgd);
  other_options.table = 1;
  TableRun alone(options, kMostRows, Budget::kDisk);
  TableRun beside(options, kMostRows, Budget::kDisk);
  TableRun other(other_options, kMostRows, Budget::kHost);
  EXPECT_NE(other.values(0), alone.values(0)) << "tables of one seed start with equal values";
  for (std::uint64_t t = 1; t <= plan.size(); ++t) {
    alone.step(t, plan[t - 1].rows, plan[t - 1].gradients);
    beside.table().begin_step(t);
    other.step(t, other_plan[t - 1].rows, other_plan[t - 1].gradients);
    beside.step(t, plan[t - 1].rows, plan[t - 1].gradients);
  }
  EXPECT_TRUE(beside.records() == alone.records());
}

TEST(ValueTable, AnotherBackendOfOneThreadGivesTheSameBits) {
  const std::vector<Touch> plan = touches(30, 25);
  const memory::ValueTableOptions options = options_for(RowOptimizerKind::kAdamW);
  const auto one_thread = make_test_backend({.threads = 1});
  TableRun one(options, kMostRows, Budget::kDisk, *one_thread);
  TableRun two(options, kMostRows, Budget::kDisk);
  for (std::uint64_t t = 1; t <= plan.size(); ++t) {
    const auto a = one.step(t, plan[t - 1].rows, plan[t - 1].gradients);
    const auto b = two.step(t, plan[t - 1].rows, plan[t - 1].gradients);
    ASSERT_EQ(a.gradient_norm, b.gradient_norm) << "step " << t;
  }
  EXPECT_TRUE(one.records() == two.records());
}

TEST(ValueTable, ATableContinuedFromItsRecordsGoesOnAsIfNothingHadHappened) {
  const std::vector<Touch> plan = touches(40, 26);
  const memory::ValueTableOptions options = options_for(RowOptimizerKind::kAdamW);
  TableRun whole(options, kMostRows, Budget::kHost), resumed(options, kMostRows, Budget::kHost);
  for (std::uint64_t t = 1; t <= plan.size(); ++t) {
    whole.step(t, plan[t - 1].rows, plan[t - 1].gradients);
    if (t == 20) {
      const std::vector<std::byte> records = whole.records();
      std::vector<RowId> rows(kRows);
      std::iota(rows.begin(), rows.end(), RowId{0});
      std::vector<const std::byte*> addresses;
      for (std::size_t row = 0; row < kRows; ++row) {
        addresses.push_back(&records[row * layout_of(options).record_bytes()]);
      }
      resumed.store().write_records(rows, addresses);
    }
    if (t > 20) resumed.step(t, plan[t - 1].rows, plan[t - 1].gradients);
  }
  EXPECT_TRUE(resumed.records() == whole.records());
}

TEST(ValueTable, TheGradientNormIsTheWholeTablesAndClippingScalesByIt) {
  std::vector<Touch> plan = touches(1, 27);
  Touch& touch = plan[0];
  touch.rows = {5, 9, 5, 77};  // row 5 twice: its gradients add up before the norm
  touch.gradients.resize(4 * kWidth, 0.25);
  const std::vector<double> dense = scatter(touch.rows, touch.gradients, kRows * kWidth);
  double square = 0;
  for (const double g : dense) square += g * g;
  memory::ValueTableOptions options = options_for(RowOptimizerKind::kSgd);
  options.optimizer.weight_decay = 0;
  options.optimizer.clip_norm = 0.01;
  TableRun run(options, kMostRows, Budget::kHost);
  const std::vector<float> before = run.values(0);
  const memory::TableStep step = run.step(1, touch.rows, touch.gradients);
  EXPECT_EQ(step.distinct_rows, 3);
  EXPECT_NEAR(step.gradient_norm, std::sqrt(square), 1e-6 * std::sqrt(square));
  const std::vector<float> after = run.values(1);
  std::vector<double> moved;
  for (std::size_t i = 0; i < after.size(); ++i) {
    moved.push_back(static_cast<double>(before[i]) - after[i]);
  }
  double length = 0;
  for (const double x : moved) length += x * x;
  // Learning rate 1e-2 at step 1; values near 1 hold such small moves to about 1e-3.
  EXPECT_NEAR(std::sqrt(length), 1e-2 * 0.01, 1e-6);
}

TEST(ValueTable, AGradientThatIsNotFiniteCountsAsZeroAndShowsInTheNorm) {
  std::vector<Touch> plan = touches(10, 29);
  const memory::ValueTableOptions options = options_for(RowOptimizerKind::kAdamW);
  TableRun broken(options, kMostRows, Budget::kDisk), zeroed(options, kMostRows, Budget::kDisk);
  for (std::uint64_t t = 1; t <= plan.size(); ++t) {
    Touch& touch = plan[t - 1];
    if (t == 5) touch.gradients[3] = std::numeric_limits<double>::quiet_NaN();
    const memory::TableStep step = broken.step(t, touch.rows, touch.gradients);
    EXPECT_EQ(std::isfinite(step.gradient_norm), t != 5);
    if (t == 5) touch.gradients.assign(touch.gradients.size(), 0.0);
    zeroed.step(t, touch.rows, touch.gradients);
  }
  EXPECT_LE(relative_error(broken.values(plan.size()), zeroed.values(plan.size())), 1e-6);
}

// The rows that such a step has caught up stay so, whether or not they are evicted after it.
TEST(ValueTable, AGradientThatIsNotFiniteLeavesTheSameBitsUnderAnyBudget) {
  std::vector<Touch> plan = touches(20, 31);
  const memory::ValueTableOptions options = options_for(RowOptimizerKind::kAdamW);
  TableRun resident(options, kMostRows, Budget::kAllResident);
  TableRun spilled(options, kMostRows, Budget::kDisk);
  for (std::uint64_t t = 1; t <= plan.size(); ++t) {
    Touch& touch = plan[t - 1];
    if (t % 4 == 0) touch.gradients[3] = std::numeric_limits<double>::quiet_NaN();
    resident.step(t, touch.rows, touch.gradients);
    spilled.step(t, touch.rows, touch.gradients);
  }
  EXPECT_EQ(resident.values(plan.size()), spilled.values(plan.size()));
}

TEST(ValueTable, AStepThatLooksNothingUpMovesNothing) {
  memory::ValueTableOptions options = options_for(RowOptimizerKind::kAdamW);
  TableRun run(options, kMostRows, Budget::kHost);
  const memory::TableStep step = run.step(1, {}, std::vector<float>{});
  EXPECT_EQ(step.distinct_rows, 0);
  EXPECT_EQ(step.gradient_norm, 0);
  EXPECT_TRUE(run.store().touched_rows().empty());
}

}  // namespace
}  // namespace mneme::test
