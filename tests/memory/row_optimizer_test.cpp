// The row optimisers: their names, options and records; those without catch-up against float64.
#include "memory/row_optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "io/error.h"
#include "tests/memory/touches.h"

namespace mneme::test {
namespace {

using kernels::RowId;
using kernels::RowOptimizerKind;

// The optimisers that move touched rows only, in float64.
struct SparseOracle {
  memory::RowOptimizerOptions options;
  std::vector<double> values, moment1, moment2, state;

  void step(std::uint64_t t, const Touch& touch) {
    std::map<RowId, std::vector<double>> gradients;
    for (std::size_t i = 0; i < touch.gradients.size(); ++i) {
      std::vector<double>& gradient = gradients[touch.rows[i / kWidth]];
      gradient.resize(kWidth);
      gradient[i % kWidth] += touch.gradients[i];
    }
    double norm = 0;
    for (const auto& [row, gradient] : gradients) {
      for (const double g : gradient) norm += g * g;
    }
    norm = std::sqrt(norm);
    const double clip = norm > options.clip_norm ? options.clip_norm / (norm + 1e-6) : 1.0;
    for (auto& [row, gradient] : gradients) {
      for (double& g : gradient) g *= clip;
      update(t, row, gradient);
    }
  }

  void update(std::uint64_t t, RowId row, const std::vector<double>& gradient) {
    const double rate = options.learning_rate(t), count = static_cast<double>(t);
    double mean_square = 0;
    for (const double g : gradient) mean_square += g * g / kWidth;
    state[row] += mean_square;
    for (std::size_t column = 0; column < kWidth; ++column) {
      const std::size_t i = row * kWidth + column;
      const double g = gradient[column];
      moment1[i] = options.beta1 * moment1[i] + (1 - options.beta1) * g;
      moment2[i] = options.beta2 * moment2[i] + (1 - options.beta2) * g * g;
      double move = g;
      if (options.kind == RowOptimizerKind::kAdamWLazy) {
        move = moment1[i] / (1 - std::pow(options.beta1, count)) /
               (std::sqrt(moment2[i] / (1 - std::pow(options.beta2, count))) + options.epsilon);
      } else if (options.kind == RowOptimizerKind::kAdagradRowwise) {
        move = g / (std::sqrt(state[row]) + options.epsilon);
      }
      values[i] = values[i] * (1 - rate * options.weight_decay) - rate * move;
    }
  }
};

class SparseOptimizer : public ::testing::TestWithParam<RowOptimizerKind> {};

TEST_P(SparseOptimizer, MovesTouchedRowsAsItsFormulaSaysAndNoOthers) {
  constexpr std::uint64_t kSeed = 28;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  const std::vector<Touch> plan = touches(60, kSeed);
  const memory::ValueTableOptions options = options_for(GetParam());
  TableRun run(options, kMostRows, Budget::kDisk);
  std::mt19937_64 random(kSeed);
  SparseOracle oracle{.options = options.optimizer,
                      .values = random_tensor(random, kRows * kWidth, 0.3),
                      .moment1 = std::vector<double>(kRows * kWidth),
                      .moment2 = std::vector<double>(kRows * kWidth),
                      .state = std::vector<double>(kRows)};
  run.write_all(oracle.values);
  for (std::uint64_t t = 1; t <= plan.size(); ++t) {
    const std::vector<float> before = t == 1 ? run.values(0) : std::vector<float>{};
    run.step(t, plan[t - 1].rows, plan[t - 1].gradients);
    oracle.step(t, plan[t - 1]);
    if (t == 1) {
      const std::vector<float> after = run.values(1);
      for (std::size_t row = 0; row < kRows; ++row) {
        const auto& touched = plan[0].rows;
        const bool expected = std::find(touched.begin(), touched.end(), row) != touched.end();
        const auto first = static_cast<std::ptrdiff_t>(row) * kWidth;
        EXPECT_EQ(!std::equal(before.begin() + first, before.begin() + first + kWidth,
                              after.begin() + first),
                  expected)
            << "row " << row;
      }
    }
  }
  EXPECT_LE(relative_error(run.values(plan.size()), oracle.values), 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Kinds, SparseOptimizer,
                         ::testing::Values(RowOptimizerKind::kAdamWLazy,
                                           RowOptimizerKind::kAdagradRowwise,
                                           RowOptimizerKind::kSgd),
                         [](const auto& test) {
                           std::string name = io::name_of(test.param);
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

TEST(RowOptimizer, RecordsHoldWhatTheOptimizerNeedsAndNoMore) {
  const auto bytes = [](const char* name) {
    return memory::record_layout(*io::value_named<RowOptimizerKind>(name), 256,
                                 kernels::FloatType::kF32, kernels::FloatType::kBF16)
        .record_bytes();
  };
  EXPECT_EQ(bytes("adamw"), 32u + 1024u + 2 * 512u);
  EXPECT_EQ(bytes("adamw-lazy"), bytes("adamw"));
  EXPECT_EQ(bytes("adagrad-rowwise"), 32u + 1024u);
  EXPECT_EQ(bytes("sgd"), 32u + 1024u);
}

TEST(RowOptimizer, OptionsOutOfRangeAreErrorsThatNameTheField) {
  const auto message = [](auto change) -> std::string {
    memory::RowOptimizerOptions options;
    options.learning_rate = [](std::uint64_t) { return 1e-3; };
    change(options);
    try {
      memory::check_options(options);
    } catch (const io::Error& error) {
      return error.what();
    }
    return "no error";
  };
  using Options = memory::RowOptimizerOptions;
  EXPECT_EQ(message([](Options&) {}), "no error");
  const auto has = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  EXPECT_TRUE(has(message([](Options& o) { o.beta1 = 0.99; }), "beta1 is 0.99"));
  EXPECT_TRUE(has(message([](Options& o) { o.beta2 = 1; }), "beta2 is 1"));
  EXPECT_TRUE(has(message([](Options& o) { o.epsilon = 0; }), "epsilon is 0"));
  EXPECT_TRUE(has(message([](Options& o) { o.weight_decay = -1; }), "weight_decay is -1"));
  EXPECT_TRUE(has(message([](Options& o) { o.clip_norm = NAN; }), "clip_norm is nan"));
  EXPECT_TRUE(has(message([](Options& o) { o.learning_rate = nullptr; }), "no learning rate"));
}

}  // namespace
}  // namespace mneme::test
