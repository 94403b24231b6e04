// Catch-up of absent rows: the table of missed steps, and rows against dense AdamW in float64.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <optional>

#include "io/error.h"
#include "kernels/catch_up_table.h"
#include "tests/kernels/dense_training.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

using kernels::CatchUpTable;
using kernels::CatchUpTableOptions;

double warm_up_and_decay(std::uint64_t step) {
  const auto s = static_cast<double>(step);
  return 1e-3 * std::min(s / 50, 1.0) * std::max(0.01, 1 - s / 900);
}

TEST(CatchUpTableTest, IsTheSameInOneStrideAndStepByStep) {
  const CatchUpTableOptions options{.weight_decay = 0.1, .learning_rate = warm_up_and_decay};
  CatchUpTable whole(options), stepped(options);
  whole.advance(700);
  std::vector<kernels::CatchUpEntry> at_600;
  for (std::uint64_t t = 1; t <= 700; ++t) {
    stepped.advance(t);
    if (t == 600) at_600.assign(stepped.entries().begin(), stepped.entries().end());
  }
  ASSERT_EQ(whole.entries().size(), 700u);
  ASSERT_EQ(whole.learning_rates().size(), 701u);
  EXPECT_EQ(
      std::memcmp(whole.entries().data(), stepped.entries().data(), whole.entries().size_bytes()),
      0);
  EXPECT_EQ(std::memcmp(whole.log_decay().data(), stepped.log_decay().data(),
                        whole.log_decay().size_bytes()),
            0);
  const std::uint64_t unchanged = whole.first_changed_entry(600);
  EXPECT_GT(unchanged, 200u);
  EXPECT_EQ(
      std::memcmp(whole.entries().data(), at_600.data(), unchanged * sizeof(kernels::CatchUpEntry)),
      0);
  EXPECT_NE(std::memcmp(&whole.entries()[590], &at_600[590], sizeof(kernels::CatchUpEntry)), 0);
}

// F(x) of the entries against the sum that it stands for.
TEST(CatchUpTableTest, ClosedFormIsExactToFloat32ForEveryEpsilonOverRoot) {
  struct Betas {
    double beta1, beta2;
  };
  for (const Betas betas : {Betas{.9, .95}, {.9, .999}, {.9, .99}, {.8, .95}, {.95, .98}}) {
    CatchUpTable table({.beta1 = betas.beta1,
                        .beta2 = betas.beta2,
                        .weight_decay = 0.1,
                        .learning_rate = warm_up_and_decay});
    const std::uint64_t t = 640;
    table.advance(t);
    kernels::CatchUpArgs args;
    table.describe(args);
    for (const std::uint64_t l : {1, 2, 3, 7, 30, 200, 500, 600, 638, 639}) {
      SCOPED_TRACE(fmt::format("betas {} {}, last step {}", betas.beta1, betas.beta2, l));
      const kernels::CatchUpEntry& entry = table.entries()[l];
      ASSERT_EQ(entry.closed_form, 1.0f);
      for (double x = 1e-6; x < 1e7; x *= 1.7) {
        double expected = 0;
        for (std::uint64_t s = l + 1; s <= t; ++s) {
          const auto missed = static_cast<double>(s - l), step = static_cast<double>(s);
          const double b =
              std::sqrt(std::pow(betas.beta2, missed) / (1 - std::pow(betas.beta2, step)));
          expected += warm_up_and_decay(s) * std::exp(table.log_decay()[l] - table.log_decay()[s]) *
                      std::pow(betas.beta1, missed) / (1 - std::pow(betas.beta1, step)) / (b + x);
        }
        const double z = x * static_cast<double>(entry.scale);
        double p = 0, q = args.denominator[kernels::kCatchUpTerms];
        for (int i = kernels::kCatchUpTerms - 1; i >= 0; --i) {
          p = p * z + static_cast<double>(entry.numerator[i]);
          q = q * z + static_cast<double>(args.denominator[i]);
        }
        const double actual = p / q * static_cast<double>(entry.scale);
        ASSERT_NEAR(actual, expected, 4e-7 * expected) << "epsilon / sqrt(v) = " << x;
      }
    }
  }
}

TEST(CatchUpTableTest, RefusesOptionsThatCannotWork) {
  const auto rate = [](std::uint64_t) { return 1e-3; };
  EXPECT_THROW(CatchUpTable({.beta1 = 1, .learning_rate = rate}), io::Error);
  EXPECT_THROW(CatchUpTable({.beta2 = -0.1, .learning_rate = rate}), io::Error);
  EXPECT_THROW(CatchUpTable({.epsilon = -1, .learning_rate = rate}), io::Error);
  EXPECT_THROW(CatchUpTable({.learning_rate = nullptr}), io::Error);
  // Momentum that outlives the second moment by tens of thousands of steps.
  EXPECT_THROW(CatchUpTable({.beta1 = .9999, .beta2 = .9, .learning_rate = rate}), io::Error);
  CatchUpTable table({.weight_decay = 2000, .learning_rate = rate});
  EXPECT_THROW(table.advance(1), io::Error);
}

struct Case {
  std::string name;
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, weight_decay = 0.1;
  double gradient_scale = 1e-4;
  kernels::FloatType value_type = kernels::FloatType::kF32, moment_type = kernels::FloatType::kF32;
  double tolerance = 1e-6;
};

class CatchUp : public ::testing::TestWithParam<Case> {};

// 500 steps; rows are absent for up to 400 of them.
TEST_P(CatchUp, MakesTouchedRowsEqualToDenseAdamW) {
  const Case& shape = GetParam();
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    constexpr std::uint32_t kRows = 24;
    constexpr std::uint64_t kSteps = 500;
    DenseTraining training(
        backend, kRows,
        {.width = 20, .value_type = shape.value_type, .moment_type = shape.moment_type},
        {.beta1 = shape.beta1,
         .beta2 = shape.beta2,
         .epsilon = shape.epsilon,
         .weight_decay = shape.weight_decay,
         .learning_rate = warm_up_and_decay});
    std::mt19937 engine(31);
    for (std::uint64_t t = 1; t <= kSteps; ++t) {
      std::vector<kernels::RowId> rows;
      for (kernels::RowId row = 0; row < kRows; ++row) {
        // Row r comes back every 17 r + 1 steps, the last ones never before step 400.
        const std::uint64_t period = 17 * row + 1;
        if (t % period == row % period) rows.push_back(row);
      }
      const auto count = static_cast<std::int64_t>(rows.size()) * 20;
      std::vector<float> gradient = random_floats(count, static_cast<std::uint32_t>(t));
      for (std::size_t i = 0; i < gradient.size(); ++i) {
        // Sizes over many decades, so that epsilon matters for some columns and not for others.
        gradient[i] *= static_cast<float>(shape.gradient_scale * std::pow(10.0, -double(i % 7)));
      }
      training.step(t, rows, gradient);
    }
    training.catch_up_all(kSteps);
    EXPECT_LE(training.value_error(), shape.tolerance);
    EXPECT_LE(training.moment1_error(), 10 * shape.tolerance);
  }
}

// How often a row is read between two gradients does not matter: its moments have the same bits,
// and its values are those of one catch-up, to a rounding for each.
TEST_P(CatchUp, ReadingARowOftenChangesNoBitOfItsMoments) {
  const Case& shape = GetParam();
  // Each reading rounds the values anew.
  const double rounding = shape.value_type == kernels::FloatType::kF32 ? 0x1p-24 : 0x1p-8;
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    constexpr std::uint32_t kRows = 8;
    constexpr std::uint64_t kAgain = 60;
    constexpr std::int64_t kWidth = 70;
    const auto train = [&](const std::vector<std::uint64_t>& read) {
      DenseTraining training(
          backend, kRows,
          {.width = kWidth, .value_type = shape.value_type, .moment_type = shape.moment_type},
          {.beta1 = shape.beta1,
           .beta2 = shape.beta2,
           .epsilon = shape.epsilon,
           .weight_decay = shape.weight_decay,
           .learning_rate = warm_up_and_decay});
      const std::vector<kernels::RowId> rows = {0, 2, 3, 7};
      const auto gradient = [&](std::uint32_t seed) {
        return random_floats(std::ssize(rows) * kWidth, seed, shape.gradient_scale);
      };
      for (std::uint64_t t = 1; t <= 3; ++t) {
        training.step(t, rows, gradient(static_cast<std::uint32_t>(t)));
      }
      for (const std::uint64_t t : read) training.catch_up_all(t);
      training.step(kAgain, rows, gradient(9));
      std::vector<float> moments;
      std::vector<double> values;
      for (const kernels::RowId row : rows) {
        EXPECT_EQ(training.table().moment_lag(row), 0u);
        for (std::int64_t c = 0; c < kWidth; ++c) {
          moments.push_back(training.table().moment1(row, c));
          moments.push_back(training.table().moment2(row, c));
          values.push_back(training.table().value(row, c));
        }
      }
      return std::pair{moments, values};
    };
    const auto [moments, values] = train({});
    const std::vector<std::uint64_t> read = {4, 5, 9, 10, 30, 58};
    const auto [read_moments, read_values] = train(read);
    EXPECT_TRUE(read_moments == moments);
    EXPECT_LE(relative_error(read_values, values), static_cast<double>(read.size()) * rounding);
  }
}

std::vector<Case> cases() {
  using kernels::FloatType;
  return {{.name = "defaults"},
          {.name = "large_epsilon", .epsilon = 1e-4},
          {.name = "tiny_gradients", .gradient_scale = 1e-8},
          {.name = "no_decay", .weight_decay = 0},
          {.name = "slow_second_moment", .beta2 = 0.999},
          {.name = "beyond_the_closed_form", .beta1 = 0.9, .beta2 = 0.8},
          {.name = "no_momentum", .beta1 = 0},
          // 500 roundings of the busiest rows add up.
          {.name = "bf16_values", .value_type = FloatType::kBF16, .tolerance = 2e-2},
          {.name = "bf16_moments",
           .value_type = FloatType::kF32,
           .moment_type = FloatType::kBF16,
           .tolerance = 1e-2}};
}

INSTANTIATE_TEST_SUITE_P(Cases, CatchUp, ::testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace mneme::testing
