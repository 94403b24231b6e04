// The promise "Dense AdamW at sparse cost": whatever rows are touched, however long they are left
// alone and wherever they live, every value is the one that dense AdamW would have.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "tests/memory/table_run.h"

namespace mneme::test {
namespace {

using kernels::RowId;

// One step's rows and their gradients [rows.size(), width].
struct Touch {
  std::vector<RowId> rows;
  std::vector<double> gradients;
};

struct TouchPlan {
  std::uint64_t rows = 0, steps = 0;
  std::int64_t width = 0;
  double longest_absence = 400;
  double smallest_gradient = 1e-7;
};

// Every row comes back after an absence that is log-uniform up to the longest one; gradients are of
// every size from the smallest to 1, a few of them zero.
std::vector<Touch> random_touches(const TouchPlan& plan, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform(0, 1);
  const auto absence = [&] {
    return static_cast<std::uint64_t>(std::pow(plan.longest_absence, uniform(random)));
  };
  std::vector<std::uint64_t> due(plan.rows);
  for (std::uint64_t& step : due) step = absence();
  std::vector<Touch> touches(plan.steps);
  for (std::uint64_t t = 1; t <= plan.steps; ++t) {
    Touch& touch = touches[t - 1];
    for (std::uint64_t row = 0; row < plan.rows; ++row) {
      if (due[row] != t) continue;
      due[row] = t + absence();
      touch.rows.push_back(static_cast<RowId>(row));
      const double size =
          uniform(random) < 0.05 ? 0 : std::pow(plan.smallest_gradient, uniform(random));
      const auto gradient = random_tensor(random, plan.width, size);
      touch.gradients.insert(touch.gradients.end(), gradient.begin(), gradient.end());
    }
  }
  return touches;
}

std::size_t most_rows(const std::vector<Touch>& touches) {
  std::size_t most = 0;
  for (const Touch& touch : touches) most = std::max(most, touch.rows.size());
  return most;
}

// The values of some rows of a dense table.
std::vector<double> rows_of(const std::vector<double>& values, const std::vector<RowId>& rows,
                            std::int64_t width) {
  std::vector<double> out;
  for (const RowId row : rows) {
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(row) * width;
    out.insert(out.end(), first, first + width);
  }
  return out;
}

memory::ValueTableOptions scheduled_options(const TouchPlan& plan) {
  memory::ValueTableOptions options = table_options(plan.rows, plan.width);
  const auto steps = static_cast<double>(plan.steps);
  options.optimizer.learning_rate = [steps](std::uint64_t step) {
    return 1e-3 * warmup_linear_decay(step, 50, steps, 0.01);
  };
  return options;
}

TEST(DenseAdamWAtSparseCost, FiveHundredStepsWithOnePercentOfTheRowsOnTheDevice) {
  constexpr std::uint64_t kSeed = 11;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  const TouchPlan plan{.rows = 1000, .steps = 500, .width = 8};
  const std::vector<Touch> touches = random_touches(plan, kSeed);
  const memory::ValueTableOptions options = scheduled_options(plan);
  TableRun run(options, most_rows(touches), Budget::kDisk);
  ASSERT_LE(run.store().tier_use().device_slots, plan.rows / 100);

  std::mt19937_64 random(kSeed);
  const auto initial = random_tensor(random, 1000 * plan.width, 1 / std::sqrt(8.0));
  run.write_all(initial);
  DenseAdamW dense(options.optimizer, initial);
  double worst_read = 0;
  for (std::uint64_t t = 1; t <= plan.steps; ++t) {
    const Touch& touch = touches[t - 1];
    run.step(t, touch.rows, touch.gradients);
    if (!touch.rows.empty()) {
      // What the forward read was the table after the last step.
      worst_read = std::max(
          worst_read, relative_error(run.read(), rows_of(dense.values, touch.rows, plan.width)));
    }
    dense.step(t, scatter(touch.rows, touch.gradients, dense.values.size()));
  }
  EXPECT_LE(worst_read, 1e-6);
  const double final_error = relative_error(run.values(plan.steps), dense.values);
  EXPECT_LE(final_error, 1e-6);
  std::printf("relative error of what was read %.2e, at the end %.2e\n", worst_read, final_error);
  EXPECT_GT(run.store().books().total().disk_rows_read(), 1000u);
}

TEST(DenseAdamWAtSparseCost, RowsThatNothingTouchedDecayAsDenseRowsDo) {
  const TouchPlan plan{.rows = 64, .steps = 300, .width = 8};
  const memory::ValueTableOptions options = scheduled_options(plan);
  TableRun run(options, 1, Budget::kAllResident);
  const std::vector<float> initial = run.values(0);
  const std::vector<float> before = run.values(plan.steps);
  DenseAdamW dense(options.optimizer, {initial.begin(), initial.end()});
  const std::vector<double> no_gradient(initial.size());
  for (std::uint64_t t = 1; t <= plan.steps; ++t) dense.step(t, no_gradient);
  EXPECT_LE(relative_error(before, dense.values), 1e-6);
  EXPECT_GT(relative_error(before, initial), 1e-3) << "the reference did not decay";
  // Initial values are normal with variance 1 / width.
  double square = 0;
  for (const float x : initial) square += static_cast<double>(x) * x;
  EXPECT_NEAR(square / static_cast<double>(initial.size()) * 8, 1.0, 0.25);
  EXPECT_TRUE(run.store().touched_rows().empty()) << "reading values touched rows";
}

TEST(DenseAdamWAtSparseCost, BFloat16RowsStayWithinOnePercent) {
  constexpr std::uint64_t kSeed = 12;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  const TouchPlan plan{
      .rows = 100, .steps = 120, .width = 16, .longest_absence = 60, .smallest_gradient = 1e-2};
  const std::vector<Touch> touches = random_touches(plan, kSeed);
  for (const auto moment_type : {kernels::FloatType::kF32, kernels::FloatType::kBF16}) {
    SCOPED_TRACE(moment_type == kernels::FloatType::kF32 ? "float32 moments" : "bf16 moments");
    memory::ValueTableOptions options = scheduled_options(plan);
    options.value_type = kernels::FloatType::kBF16;
    options.moment_type = moment_type;
    TableRun run(options, most_rows(touches), Budget::kHost);
    const std::vector<float> initial = run.values(0);
    DenseAdamW dense(options.optimizer, {initial.begin(), initial.end()});
    for (std::uint64_t t = 1; t <= plan.steps; ++t) {
      const Touch& touch = touches[t - 1];
      run.step(t, touch.rows, touch.gradients);
      dense.step(t, scatter(touch.rows, touch.gradients, dense.values.size()));
    }
    EXPECT_LE(relative_error(run.values(plan.steps), dense.values), 1e-2);
  }
}

// Resident memory of this process in bytes.
std::uint64_t resident_bytes() {
  std::ifstream status("/proc/self/statm");
  std::uint64_t pages = 0;
  status >> pages >> pages;
  return pages * 4096;
}

TEST(DenseAdamWAtSparseCost, ATableOf137BillionParametersTrainsAStepInLittleMemory) {
  constexpr std::uint64_t kRows = 8192ull * 8192ull;
  constexpr std::int64_t kWidth = 2048;
  constexpr std::size_t kTouched = 64;
  // The backend's own threads and device memory are not the table's.
  const auto backend = make_test_backend({.device_bytes = std::size_t{640} << 20});
  const std::uint64_t before = resident_bytes();
  memory::ValueTableOptions options = table_options(kRows, kWidth);
  options.optimizer.clip_norm = 0;
  TableRun run(options, kTouched, Budget::kHost, *backend);
  std::vector<RowId> rows;
  for (std::size_t i = 0; i < kTouched; ++i) {
    rows.push_back(static_cast<RowId>(i * (kRows - 1) / (kTouched - 1)));
  }
  std::mt19937_64 random(13);
  const auto gradients = random_tensor(random, kTouched * kWidth, 1);
  const memory::TableStep step = run.step(1, rows, gradients);
  EXPECT_EQ(step.distinct_rows, static_cast<std::int64_t>(kTouched));
  // A first step moves every element by the learning rate, against its gradient.
  std::vector<float> last(kWidth);
  run.table().read_values(1, rows.back(), 1, last);
  for (std::int64_t i = 0; i < kWidth; ++i) {
    const auto at = (kTouched - 1) * kWidth + static_cast<std::size_t>(i);
    const double start = run.read()[at];
    EXPECT_NEAR(last[static_cast<std::size_t>(i)],
                start * (1 - 1e-4) - std::copysign(1e-3, gradients[at]), 1e-6);
  }
  // Forward and update each meet the rows once; between them the small device tier drops clean
  // rows, which are generated again.
  EXPECT_LE(run.store().books().total()[offload::Field::kGeneratedRows], 2 * kTouched);
  // The map from rows to device slots takes 4 bytes a row at most; it is on huge pages, so that
  // rows from all over the table touch much of it. The rows themselves would take 1.6 TB.
  EXPECT_LT(resident_bytes() - before, 4 * kRows + (64u << 20));
}

}  // namespace
}  // namespace mneme::test
