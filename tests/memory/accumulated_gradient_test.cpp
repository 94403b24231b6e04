// A step's gradient that is added up in the rows, some micro-batches at a time: what comes of it is
// what comes of the factored gradient, however many are kept at once and wherever the rows are.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "io/enum_names.h"
#include "tests/memory/touches.h"
#include "tests/support/counting_memory.h"

namespace mneme::test {
namespace {

using kernels::FloatType;
using kernels::RowOptimizerKind;

constexpr std::size_t kMicroBatches = 5;
constexpr std::uint64_t kSteps = 8;

struct Case {
  RowOptimizerKind kind;
  FloatType type;
  double clip_norm;
};

class AccumulatedGradient : public ::testing::TestWithParam<Case> {
 protected:
  // kept: calls; 0 for all, without gradient arrays.
  static memory::ValueTableOptions options(std::int64_t kept) {
    memory::ValueTableOptions options = options_for(GetParam().kind);
    options.value_type = options.moment_type = GetParam().type;
    options.optimizer.clip_norm = GetParam().clip_norm;
    options.gradient_calls_per_step = kMicroBatches;
    options.gradient_calls_kept = kept;
    options.accumulates_gradient = kept > 0;
    return options;
  }

  struct Outcome {
    std::vector<double> norms;
    std::vector<std::int64_t> distinct;
    std::vector<float> read, values;
  };
  static void take(TableRun& run, std::uint64_t t, const std::vector<Touch>& micro_batches,
                   Outcome& outcome) {
    run.table().begin_step(t);
    for (const Touch& touch : micro_batches) {
      run.micro_batch(touch.rows, touch.gradients);
      outcome.read.insert(outcome.read.end(), run.read().begin(), run.read().end());
    }
    const memory::TableStep step = run.table().finish_step(run.stream());
    outcome.norms.push_back(step.gradient_norm);
    outcome.distinct.push_back(step.distinct_rows);
  }
  static std::vector<Touch> micro_batches(std::uint64_t t) {
    // Some steps have fewer than others, so that they end with and without something kept.
    return touches(1 + (t * 3) % kMicroBatches, 40 + t);
  }
  static Outcome run(std::int64_t kept, Budget budget) {
    TableRun run(options(kept), kMostRows, budget);
    Outcome outcome;
    for (std::uint64_t t = 1; t <= kSteps; ++t) take(run, t, micro_batches(t), outcome);
    outcome.values = run.values(kSteps);
    return outcome;
  }
  // On a GPU a row with one look-up takes its norm from its token's, so that a clip factor may be
  // another by an ulp.
  static void expect_equal(const Outcome& a, const Outcome& b) {
    EXPECT_EQ(a.distinct, b.distinct);
    const bool exact =
        test_backend().name().starts_with("cpu") ||
        (GetParam().clip_norm == 0 && GetParam().kind != RowOptimizerKind::kAdagradRowwise);
    if (exact) {
      EXPECT_EQ(a.norms, b.norms);
      EXPECT_EQ(a.read, b.read);
      EXPECT_EQ(a.values, b.values);
      return;
    }
    const double bound = GetParam().type == FloatType::kF32 ? 1e-6 : 1e-2;
    EXPECT_LE(relative_error(a.norms, b.norms), 1e-6);
    EXPECT_LE(relative_error(a.values, b.values), bound);
  }
};

TEST_P(AccumulatedGradient, GivesWhatTheFactoredGradientGives) {
  const Outcome factored = run(0, Budget::kAllResident);
  EXPECT_GT(*std::max_element(factored.distinct.begin(), factored.distinct.end()),
            static_cast<std::int64_t>(kMostRows));
  const std::pair<std::int64_t, Budget> runs[] = {{1, Budget::kAllResident},
                                                  {1, Budget::kDisk},
                                                  {2, Budget::kHost},
                                                  {4, Budget::kDisk},
                                                  {5, Budget::kHost}};
  for (const auto& [kept, budget] : runs) {
    SCOPED_TRACE(::testing::Message() << kept << " kept, budget " << static_cast<int>(budget));
    expect_equal(run(kept, budget), factored);
  }
}

// A step that failed is begun again: nothing of it is left in the rows.
TEST_P(AccumulatedGradient, OfAStepThatWasGivenUpIsForgotten) {
  TableRun whole(options(1), kMostRows, Budget::kDisk);
  TableRun broken(options(1), kMostRows, Budget::kDisk);
  Outcome a, b;
  for (std::uint64_t t = 1; t <= kSteps; ++t) {
    broken.table().begin_step(t);
    for (Touch touch : micro_batches(t)) {
      for (double& g : touch.gradients) g = 5 - 3 * g;
      broken.micro_batch(touch.rows, touch.gradients);
    }
    broken.table().make_gradient_room(broken.stream(), kMicroBatches);
    take(whole, t, micro_batches(t), a);
    take(broken, t, micro_batches(t), b);
  }
  EXPECT_EQ(a.norms, b.norms);
  EXPECT_EQ(a.read, b.read);
  EXPECT_EQ(whole.values(kSteps), broken.values(kSteps));
}

TEST_P(AccumulatedGradient, ThatIsNotFiniteCountsAsZeroUnderAnyBudget) {
  if (GetParam().clip_norm == 0) GTEST_SKIP() << "nobody looks at the norm";
  const auto broken = [](std::int64_t kept, Budget budget) {
    TableRun run(options(kept), kMostRows, budget);
    Outcome outcome;
    for (std::uint64_t t = 1; t <= kSteps; ++t) {
      std::vector<Touch> parts = micro_batches(t);
      if (t % 4 == 0) parts[0].gradients[3] = std::numeric_limits<double>::quiet_NaN();
      take(run, t, parts, outcome);
      EXPECT_EQ(std::isfinite(outcome.norms.back()), t % 4 != 0);
      if (t % 4 == 0) outcome.norms.back() = 0;
    }
    outcome.values = run.values(kSteps);
    return outcome;
  };
  const Outcome factored = broken(0, Budget::kAllResident);
  for (const Budget budget : {Budget::kAllResident, Budget::kDisk}) {
    expect_equal(broken(1, budget), factored);
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, AccumulatedGradient,
                         ::testing::Values(Case{RowOptimizerKind::kAdamW, FloatType::kF32, 0.5},
                                           Case{RowOptimizerKind::kAdamW, FloatType::kBF16, 0},
                                           Case{RowOptimizerKind::kAdamWLazy, FloatType::kF32, 0},
                                           Case{RowOptimizerKind::kAdagradRowwise, FloatType::kF32,
                                                0.5},
                                           Case{RowOptimizerKind::kSgd, FloatType::kBF16, 0}),
                         [](const auto& test) {
                           std::string name = io::name_of(test.param.kind);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name + (test.param.type == FloatType::kF32 ? "_f32" : "_bf16");
                         });

// Without room on the disk nothing is added up yet: it is once there is room, from the beginning.
TEST(AccumulatedGradientDisk, IsAddedUpOnceThereIsRoom) {
  const auto outcome = [](std::uint64_t disk_slots) {
    memory::ValueTableOptions options = options_for(RowOptimizerKind::kAdamW);
    options.gradient_calls_per_step = 3;
    options.gradient_calls_kept = 1;
    options.accumulates_gradient = true;
    options.tiers.disk_bytes = disk_slots * 512;
    TableRun run(options, kMostRows, Budget::kDisk);
    const std::vector<Touch> plan = touches(2 * 3 + 1, 70);
    const auto take = [&](std::uint64_t t) {
      run.table().begin_step(t);
      int refused = 0;
      for (std::size_t i = 3 * t - 3; i < std::min<std::size_t>(3 * t, plan.size()); ++i) {
        run.micro_batch(plan[i].rows, plan[i].gradients);
        try {
          run.table().make_gradient_room(run.stream(), 1);
        } catch (const offload::DiskBudgetError&) {
          ++refused;
          // Again: no different.
          EXPECT_THROW(run.table().make_gradient_room(run.stream(), 1), offload::DiskBudgetError);
          run.store().release_checkpoint(1);
          run.table().make_gradient_room(run.stream(), 1);
        }
      }
      run.table().finish_step(run.stream());
      return refused;
    };
    int refused = 0;
    for (std::uint64_t t = 1; t <= 2; ++t) {
      refused += take(t);
      run.store().flush();
      run.store().commit_checkpoint(t);
    }
    refused += take(3);
    return std::pair{refused, run.values(3)};
  };
  const auto [none, expected] = outcome(4096);
  EXPECT_EQ(none, 0);
  // Enough for two checkpoints, but for a few rows.
  const std::uint64_t slots = 70;
  auto [refused, values] = outcome(slots);
  EXPECT_EQ(refused, 1);
  EXPECT_EQ(values, expected);
}

TEST(AccumulatedGradientOptions, AreRefusedWithoutGradientArrays) {
  memory::ValueTableOptions options = options_for(RowOptimizerKind::kSgd);
  options.gradient_calls_per_step = 4;
  options.gradient_calls_kept = 2;
  EXPECT_THROW(TableRun(options, kMostRows, Budget::kHost), io::Error);
  options.accumulates_gradient = true;
  options.gradient_calls_kept = 5;
  EXPECT_THROW(TableRun(options, kMostRows, Budget::kHost), io::Error);
}

// The table of the rows of a step, and what is kept of its calls, is all there is.
TEST(AccumulatedGradientMemory, DoesNotGrowWithTheStep) {
  const auto bytes = [](std::int64_t calls, std::int64_t kept) {
    testing::CountingMemory memory(test_backend());
    memory::ValueTableOptions options = options_for(RowOptimizerKind::kAdamW);
    options.gradient_calls_per_step = calls;
    options.gradient_calls_kept = kept;
    options.accumulates_gradient = true;
    TableRun run(options, kMostRows, Budget::kAllResident, memory);
    return memory.bytes(kernels::MemoryKind::kDevice);
  };
  EXPECT_EQ(bytes(100'000, 2), bytes(10, 2));
  EXPECT_LT(bytes(10, 2), bytes(10, 3));
  EXPECT_LT(bytes(10, 10), bytes(20, 20));
}

}  // namespace
}  // namespace mneme::test
