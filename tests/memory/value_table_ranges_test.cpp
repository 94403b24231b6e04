// Tables that hold a range of the columns each make, together, the bits of the table that holds
// them all, under any budget: training, evaluation, values out and values in.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "io/error.h"
#include "tests/memory/table_run.h"

namespace mneme::test {
namespace {

using kernels::ColumnRange;
using kernels::FloatType;
using kernels::RowId;
using kernels::RowOptimizerKind;

constexpr std::uint64_t kRows = 40, kSteps = 24;
constexpr std::size_t kMostRows = 12;

struct Case {
  std::uint32_t width;
  FloatType type;
  RowOptimizerKind kind;
};

class ValueTableRanges : public ::testing::TestWithParam<Case> {
 protected:
  static memory::ValueTableOptions options() {
    memory::ValueTableOptions options = table_options(kRows, GetParam().width);
    options.value_type = options.moment_type = GetParam().type;
    options.optimizer.kind = GetParam().kind;
    options.optimizer.clip_norm = 0;
    options.optimizer.learning_rate = [](std::uint64_t step) {
      return 1e-2 / std::sqrt(static_cast<double>(step));
    };
    return options;
  }
  // The range's columns of rows with all of them.
  static std::vector<float> columns_of(const std::vector<float>& all, const ColumnRange& range) {
    std::vector<float> some;
    for (std::size_t row = 0; row < all.size() / range.total; ++row) {
      const auto begin = all.begin() + static_cast<std::ptrdiff_t>(row * range.total + range.first);
      some.insert(some.end(), begin, begin + range.count);
    }
    return some;
  }
  // What a table that holds a range reads and holds in the end, beginning with values that were
  // written for some rows.
  struct Outcome {
    std::vector<float> read, evaluated, values;
  };
  static Outcome run(const ColumnRange& columns, Budget budget) {
    memory::ValueTableOptions options = ValueTableRanges::options();
    options.columns = columns;
    TableRun run(options, kMostRows, budget);
    std::mt19937 random(3);
    std::normal_distribution<float> normal(0, 1e-2f);
    const auto numbers = [&](std::size_t rows) {
      std::vector<float> all(rows * columns.total);
      for (float& x : all) x = normal(random);
      return columns_of(all, columns);
    };
    const std::vector<RowId> written = {1, 5, 30};
    run.table().write_values(written, numbers(written.size()), 0);
    Outcome outcome;
    for (std::uint64_t t = 1; t <= kSteps; ++t) {
      std::vector<RowId> rows;
      for (RowId row = 0; row < kRows && rows.size() < kMostRows; ++row) {
        if (random() % 4 == 0) rows.push_back(row);
      }
      run.step(t, rows, numbers(rows.size()));
      outcome.read.insert(outcome.read.end(), run.read().begin(), run.read().end());
    }
    outcome.evaluated = run.evaluate(kSteps, {0, 7, 19, 39});
    outcome.values = run.values(kSteps);
    return outcome;
  }
};

TEST_P(ValueTableRanges, HoldTheBitsOfTheWholeTable) {
  const std::uint32_t width = GetParam().width;
  const Outcome whole = run(ColumnRange::all(width), Budget::kAllResident);
  for (const std::uint32_t ranges : {2u, 8u}) {
    for (std::uint32_t i = 0; i < ranges; i += ranges - 1) {
      const ColumnRange columns{i * (width / ranges), width / ranges, width};
      for (const Budget budget : {Budget::kAllResident, Budget::kDisk}) {
        SCOPED_TRACE(::testing::Message() << "columns from " << columns.first << " on, budget "
                                          << static_cast<int>(budget));
        const Outcome part = run(columns, budget);
        EXPECT_EQ(part.read, columns_of(whole.read, columns));
        EXPECT_EQ(part.evaluated, columns_of(whole.evaluated, columns));
        EXPECT_EQ(part.values, columns_of(whole.values, columns));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, ValueTableRanges,
                         ::testing::Values(Case{64, FloatType::kF32, RowOptimizerKind::kAdamW},
                                           Case{192, FloatType::kBF16, RowOptimizerKind::kAdamW},
                                           Case{64, FloatType::kBF16, RowOptimizerKind::kSgd}),
                         [](const auto& test) {
                           return std::string(io::name_of(test.param.kind)) +
                                  std::to_string(test.param.width) +
                                  (test.param.type == FloatType::kF32 ? "f32" : "bf16");
                         });

TEST(ValueTableRange, IsRefusedWhereItIsNoneOrWholeRowsAreNeeded) {
  io::SimulatedDisk disk({.record_log = false});
  const auto refuses = [&](const memory::ValueTableOptions& options) {
    EXPECT_THROW(memory::ValueTable(test_backend(), disk, options), io::Error);
  };
  memory::ValueTableOptions options = table_options(kRows, 64);
  options.tokens_per_call = 4;
  options.optimizer.clip_norm = 0;
  options.tiers = tiers_of(Budget::kAllResident, options);
  options.columns = {32, 32, 64};
  memory::ValueTable(test_backend(), disk, options);
  options.columns = {8, 16, 64};
  refuses(options);
  options.columns = {0, 64, 128};
  refuses(options);
  options.columns = {32, 32, 64};
  options.optimizer.clip_norm = 1;
  refuses(options);
  options.optimizer.clip_norm = 0;
  options.optimizer.kind = RowOptimizerKind::kAdagradRowwise;
  refuses(options);
}

}  // namespace
}  // namespace mneme::test
