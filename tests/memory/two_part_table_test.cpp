// Tables whose rows have two parts, PEER's u and v: every optimiser, with the clip norm of both
// parts together and, under adagrad-rowwise, a sum for each; the same bits under any budget, for
// any number of calls kept, and for ranges of the columns.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "io/enum_names.h"
#include "io/error.h"
#include "tests/memory/touches.h"

namespace mneme::test {
namespace {

using kernels::ColumnRange;
using kernels::FloatType;
using kernels::RowId;
using kernels::RowOptimizerKind;

constexpr std::uint64_t kSteps = 40;
constexpr std::uint64_t kStepsOfBudgets = 5, kStepsOfRanges = 12;

std::vector<Touch> two_part_touches(std::uint64_t steps, std::uint64_t seed, std::int64_t width) {
  std::mt19937_64 random(seed);
  std::vector<Touch> out = touches(steps, seed);
  for (Touch& touch : out) {
    touch.gradients =
        random_tensor(random, static_cast<std::int64_t>(touch.rows.size()) * 2 * width, 0.3);
  }
  return out;
}

memory::ValueTableOptions two_part_options(RowOptimizerKind kind, std::int64_t width = kWidth) {
  memory::ValueTableOptions options = options_for(kind);
  options.width = width;
  options.parts = 2;
  return options;
}

// What SPEC.md says of the optimisers, of whole rows [u, v], in float64.
struct Oracle {
  memory::RowOptimizerOptions options;
  std::vector<double> values;  // [kRows, 2, kWidth]
  std::vector<double> moment1 = std::vector<double>(values.size());
  std::vector<double> moment2 = std::vector<double>(values.size());
  std::vector<double> sums = std::vector<double>(2 * kRows);  // of adagrad-rowwise
  static constexpr std::size_t kRow = 2 * kWidth;

  void step(std::uint64_t t, const Touch& touch) {
    std::map<RowId, std::vector<double>> gradients;
    for (std::size_t i = 0; i < touch.gradients.size(); ++i) {
      std::vector<double>& gradient = gradients[touch.rows[i / kRow]];
      gradient.resize(kRow);
      gradient[i % kRow] += touch.gradients[i];
    }
    double square = 0;
    for (const auto& [row, gradient] : gradients) {
      for (const double g : gradient) square += g * g;
    }
    const double norm = std::sqrt(square);
    const double clip = norm > options.clip_norm ? options.clip_norm / (norm + 1e-6) : 1.0;
    const bool dense = options.kind == RowOptimizerKind::kAdamW;
    for (RowId row = 0; row < kRows; ++row) {
      const auto found = gradients.find(row);
      if (found == gradients.end() && !dense) continue;
      std::vector<double> gradient =
          found == gradients.end() ? std::vector<double>(kRow) : found->second;
      for (double& g : gradient) g *= clip;
      update(t, row, gradient);
    }
  }

  void update(std::uint64_t t, RowId row, const std::vector<double>& gradient) {
    const double rate = options.learning_rate(t), count = static_cast<double>(t);
    for (std::size_t i = 0; i < kRow; ++i)
      sums[2 * row + i / kWidth] += gradient[i] * gradient[i] / kWidth;
    for (std::size_t i = 0; i < kRow; ++i) {
      const std::size_t at = row * kRow + i;
      const double g = gradient[i];
      moment1[at] = options.beta1 * moment1[at] + (1 - options.beta1) * g;
      moment2[at] = options.beta2 * moment2[at] + (1 - options.beta2) * g * g;
      double move =
          moment1[at] / (1 - std::pow(options.beta1, count)) /
          (std::sqrt(moment2[at] / (1 - std::pow(options.beta2, count))) + options.epsilon);
      if (options.kind == RowOptimizerKind::kSgd) move = g;
      if (options.kind == RowOptimizerKind::kAdagradRowwise) {
        move = g / (std::sqrt(sums[2 * row + i / kWidth]) + options.epsilon);
      }
      values[at] = values[at] * (1 - rate * options.weight_decay) - rate * move;
    }
  }
};

class TwoPartTable : public ::testing::TestWithParam<RowOptimizerKind> {};

TEST_P(TwoPartTable, LearnsAsItsFormulaSays) {
  constexpr std::uint64_t kSeed = 12;
  const std::vector<Touch> plan = two_part_touches(kSteps, kSeed, kWidth);
  const memory::ValueTableOptions options = two_part_options(GetParam());
  TableRun run(options, kMostRows, Budget::kDisk);
  std::mt19937_64 random(kSeed);
  Oracle oracle{.options = options.optimizer,
                .values = random_tensor(random, kRows * 2 * kWidth, 0.3)};
  run.write_all(oracle.values);
  for (std::uint64_t t = 1; t <= kSteps; ++t) {
    run.step(t, plan[t - 1].rows, plan[t - 1].gradients);
    oracle.step(t, plan[t - 1]);
  }
  EXPECT_GT(run.store().books().total().disk_rows_read(), 0u) << "nothing was on disk";
  EXPECT_LE(relative_error(run.values(kSteps), oracle.values), 1e-6);
}

struct Outcome {
  std::vector<double> norms;
  std::vector<float> read, values;
};

// calls_kept: of three micro-batches a step; 0 for all, without gradient arrays.
Outcome outcome_of(memory::ValueTableOptions options, Budget budget, std::int64_t calls_kept) {
  options.gradient_calls_per_step = 3;
  options.gradient_calls_kept = calls_kept;
  options.accumulates_gradient = calls_kept > 0;
  TableRun run(options, kMostRows, budget);
  Outcome outcome;
  const std::vector<Touch> plan = two_part_touches(3 * kStepsOfBudgets, 7, options.width);
  for (std::uint64_t t = 1; t <= kStepsOfBudgets; ++t) {
    run.table().begin_step(t);
    for (std::uint64_t i = 0; i < 1 + t % 3; ++i) {
      const Touch& touch = plan[3 * (t - 1) + i];
      run.micro_batch(touch.rows, touch.gradients);
      outcome.read.insert(outcome.read.end(), run.read().begin(), run.read().end());
    }
    outcome.norms.push_back(run.table().finish_step(run.stream()).gradient_norm);
  }
  outcome.values = run.values(kStepsOfBudgets);
  return outcome;
}

TEST_P(TwoPartTable, HoldsTheSameBitsUnderAnyBudgetAndForAnyNumberOfCallsKept) {
  const bool is_adamw = GetParam() == RowOptimizerKind::kAdamW;
  for (const FloatType type : {FloatType::kF32, FloatType::kBF16}) {
    if (type == FloatType::kF32 && !is_adamw) continue;
    memory::ValueTableOptions options = two_part_options(GetParam());
    options.value_type = options.moment_type = type;
    // On a GPU a row with one look-up takes its norm from its token's: not the accumulated one.
    const bool is_cpu = test_backend().name().starts_with("cpu");
    if (!is_cpu) options.optimizer.clip_norm = 0;
    const Outcome resident = outcome_of(options, Budget::kAllResident, 0);
    const std::pair<Budget, std::int64_t> runs[] = {
        {Budget::kHost, 0}, {Budget::kDisk, 0}, {Budget::kDisk, 1}, {Budget::kHost, 2}};
    for (const auto& [budget, kept] : runs) {
      if (!is_cpu && kept > 0 && GetParam() == RowOptimizerKind::kAdagradRowwise) continue;
      SCOPED_TRACE(::testing::Message() << "budget " << static_cast<int>(budget) << ", " << kept
                                        << " kept, " << io::name_of(type));
      const Outcome other = outcome_of(options, budget, kept);
      EXPECT_EQ(other.norms, resident.norms);
      EXPECT_EQ(other.read, resident.read);
      EXPECT_EQ(other.values, resident.values);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, TwoPartTable,
                         ::testing::Values(RowOptimizerKind::kAdamW, RowOptimizerKind::kAdamWLazy,
                                           RowOptimizerKind::kAdagradRowwise,
                                           RowOptimizerKind::kSgd),
                         [](const auto& test) {
                           std::string name = io::name_of(test.param);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// The columns [first, first + count) of both parts of rows [rows, 2, total].
std::vector<double> columns_of(const std::vector<double>& all, const ColumnRange& range) {
  std::vector<double> some;
  for (std::size_t part = 0; part < all.size() / range.total; ++part) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(part * range.total + range.first);
    some.insert(some.end(), begin, begin + range.count);
  }
  return some;
}

TEST(TwoPartTableRanges, HoldTheBitsOfTheWholeTable) {
  constexpr std::uint32_t kTotal = 64;
  const auto values_of = [](const ColumnRange& columns, Budget budget) {
    memory::ValueTableOptions options = two_part_options(RowOptimizerKind::kAdamW, kTotal);
    options.optimizer.clip_norm = 0;
    options.columns = columns;
    TableRun run(options, kMostRows, budget);
    const std::vector<Touch> plan = two_part_touches(kStepsOfRanges, 9, kTotal);
    for (std::uint64_t t = 1; t <= kStepsOfRanges; ++t) {
      run.step(t, plan[t - 1].rows, columns_of(plan[t - 1].gradients, columns));
    }
    const std::vector<float> values = run.values(kStepsOfRanges);
    return std::vector<double>(values.begin(), values.end());
  };
  const std::vector<double> whole = values_of(ColumnRange::all(kTotal), Budget::kAllResident);
  for (const ColumnRange& columns :
       {ColumnRange{0, 32, kTotal}, {32, 32, kTotal}, {56, 8, kTotal}}) {
    SCOPED_TRACE(columns.first);
    EXPECT_EQ(values_of(columns, Budget::kDisk), columns_of(whole, columns));
  }
}

// A memory layer reads v alone: u gets no gradient, and under adamw decays like any row that has
// none.
TEST(TwoPartTableOfMemoryLayers, MovesUByItsDecayAlone) {
  const memory::ValueTableOptions options = two_part_options(RowOptimizerKind::kAdamW);
  TableRun run(options, 3, Budget::kAllResident);
  const std::vector<float> before = run.values(0);
  const std::vector<RowId> rows = {2, 3, 70};
  run.table().begin_step(1);
  const Uploaded<RowId> ids(test_backend(), run.stream(), rows);
  const Uploaded<float> ones(test_backend(), run.stream(), std::vector<float>(3, 1.0f));
  const Uploaded<float> d_y(test_backend(), run.stream(), std::vector<float>(3 * kWidth, 0.25f));
  const auto lookups = run.table().make_lookup_set();
  run.table().group(run.stream(), ids.data(), 3, *lookups);
  run.table().keep_gradient(run.stream(), *lookups, ones.data(), d_y.data());
  run.table().finish_step(run.stream());
  const std::vector<float> after = run.values(1);
  const double kept = 1 - options.optimizer.learning_rate(1) * options.optimizer.weight_decay;
  for (const RowId row : rows) {
    for (std::size_t i = 0; i < 2 * kWidth; ++i) {
      const std::size_t at = row * 2 * kWidth + i;
      const double decayed = kept * static_cast<double>(before[at]);
      if (i < kWidth) {
        EXPECT_NEAR(after[at], decayed, 1e-7);
      } else {
        EXPECT_LT(after[at], decayed - 1e-3);
      }
    }
  }
}

TEST(TwoPartTableOptions, ThreePartsAreAnError) {
  memory::ValueTableOptions options = two_part_options(RowOptimizerKind::kAdamW);
  options.parts = 3;
  EXPECT_THROW(TableRun(options, 1, Budget::kAllResident), io::Error);
}

}  // namespace
}  // namespace mneme::test
