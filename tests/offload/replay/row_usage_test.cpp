// How rows are used, against what can be worked out by hand and against laws that references are
// drawn from.
#include "offload/replay/row_usage.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/offload/trace/trace_support.h"

namespace mneme::offload::testing {
namespace {

RowUsage usage_of_steps(std::uint64_t rows, const std::vector<std::vector<std::uint32_t>>& steps) {
  RowUsageCounter counter(rows);
  std::uint64_t number = 0;
  for (const auto& step : steps) {
    counter.begin_step(++number);
    counter.add(step);
  }
  return counter.usage();
}

TEST(RowUsageTest, OfAFewStepsIsThatByHand) {
  const RowUsage usage = usage_of_steps(10, {{0, 1}, {0, 1, 2}, {}, {0}, {0, 0}});
  EXPECT_EQ(usage.uses, 8u);
  EXPECT_EQ(usage.used_rows, 3u);
  // The step without a use is left out.
  EXPECT_EQ(usage.steps, (std::vector<StepRows>{{1, 2, 2}, {2, 3, 1}, {4, 1, 0}, {5, 1, 0}}));
  // Uses 5, 2, 1 of ten rows.
  EXPECT_DOUBLE_EQ(usage.top_1, 5.0 / 8);
  EXPECT_DOUBLE_EQ(usage.top_10, 5.0 / 8);
  EXPECT_DOUBLE_EQ(usage.top_50, 1);
  EXPECT_NEAR(usage.gini, (2 * (10 * 5 + 9 * 2 + 8 * 1) / 8.0 - 11) / 10, 1e-12);
  const double kl =
      5.0 / 8 * std::log(50.0 / 8) + 2.0 / 8 * std::log(20.0 / 8) + 1.0 / 8 * std::log(10.0 / 8);
  EXPECT_NEAR(usage.kl_from_uniform, kl, 1e-12);
  // Reuses in order: rows 0 and 1 after 2 rows, 0 after 3, 0 after 1, 0 after 1; steps: 1, 1, 1, 1,
  // 0, since nothing happened in the empty one.
  EXPECT_EQ(usage.reuse_rows.p50, 2);
  EXPECT_EQ(usage.reuse_rows.p90, 3);
  EXPECT_EQ(usage.reuse_steps.p50, 1);
  EXPECT_EQ(usage.reuse_steps.p99, 1);
  using Ranks = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
  EXPECT_EQ(usage.uses_by_rank, (Ranks{{1, 5}, {2, 2}, {3, 1}}));
  EXPECT_EQ(usage.zipf_slope, 0);  // too few uses
}

TEST(RowUsageTest, OfRowsThatAreAllAlikeIsNotSkewed) {
  std::vector<std::uint32_t> all(64);
  for (std::uint32_t i = 0; i < 64; ++i) all[i] = i;
  const RowUsage usage = usage_of_steps(64, std::vector(20, all));
  EXPECT_NEAR(usage.gini, 0, 1e-12);
  EXPECT_NEAR(usage.kl_from_uniform, 0, 1e-12);
  EXPECT_NEAR(usage.zipf_slope, 0, 1e-12);
  EXPECT_NEAR(usage.top_50, 0.5, 1e-12);
  EXPECT_EQ(usage.reuse_rows.p50, 64);
  EXPECT_EQ(usage.reuse_steps.p99, 1);
  const RowUsage none = usage_of_steps(64, {});
  EXPECT_EQ(none.uses, 0u);
  EXPECT_EQ(none.gini, 0);
}

TEST(RowUsageTest, FindsTheExponentOfZipf) {
  for (const double exponent : {0.5, 0.8, 1.2}) {
    std::vector<double> weights;
    for (int row = 1; row <= 5000; ++row) weights.push_back(std::pow(row, -exponent));
    std::mt19937_64 random(7);
    std::discrete_distribution<std::uint32_t> rank(weights.begin(), weights.end());
    RowUsageCounter counter(5000);
    for (int step = 1; step <= 100; ++step) {
      counter.begin_step(static_cast<std::uint64_t>(step));
      std::vector<std::uint32_t> rows(5000);
      for (std::uint32_t& row : rows) row = (rank(random) * 1237) % 5000;
      counter.add(rows);
    }
    EXPECT_NEAR(counter.usage().zipf_slope, exponent, 0.04) << exponent;
  }
}

TEST(RowUsageTest, OfATraceIsByLayerAndOfForwardPassesInTraining) {
  io::SimulatedDisk disk({.record_log = false});
  const TraceHeader header{.table = 0, .rows = 100, .run_id = 1, .seed = 1};
  TraceLists lists;
  std::vector<std::byte> events;
  std::uint64_t lease = 0;
  const auto leased = [&](std::int32_t layer, Pass pass, Cause cause,
                          std::vector<std::uint32_t> rows) {
    encode({.kind = TraceKind::kLease,
            .number = ++lease,
            .account = {cause, layer, pass},
            .list = std::move(rows)},
           lists, events);
  };
  for (std::uint64_t step = 1; step <= 3; ++step) {
    encode({.kind = TraceKind::kStep, .number = step}, lists, events);
    leased(1, Pass::kForward, Cause::kTraining, {1, 2, 3});
    leased(4, Pass::kForward, Cause::kTraining, {3, 4});
    leased(1, Pass::kBackward, Cause::kTraining, {1, 2, 3});
    leased(kNoLayer, Pass::kForward, Cause::kEvaluation, {9});
  }
  TraceFile(disk, "/t.trace", header, 0).append(events, {});
  TraceReader reader(disk, "/t.trace");
  const TraceUsage usage = usage_of(reader);
  EXPECT_EQ(usage.all.uses, 15u);
  EXPECT_EQ(usage.all.used_rows, 4u);
  EXPECT_EQ(usage.all.steps.size(), 3u);
  EXPECT_EQ(usage.all.steps[0], (StepRows{1, 4, 4}));
  ASSERT_EQ(usage.by_layer.size(), 2u);
  EXPECT_EQ(usage.by_layer.at(1).uses, 9u);
  EXPECT_EQ(usage.by_layer.at(4).used_rows, 2u);
  EXPECT_EQ(usage.by_layer.at(4).steps[1], (StepRows{2, 2, 0}));
}

}  // namespace
}  // namespace mneme::offload::testing
