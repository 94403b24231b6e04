// The learning rate follows its documented formula, and the golden files' schedule is the linear
// one: a plain dense AdamW in double with these rates reproduces their tables.
#include "engine/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "tests/support/golden_files.h"

namespace mneme::engine {
namespace {

ScheduleOptions options_of(ScheduleKind kind) {
  return {.kind = kind, .peak = 0.5, .warmup_steps = 4, .steps = 12, .min_ratio = 0.1};
}

TEST(Schedule, WarmUpRisesLinearlyToThePeak) {
  for (const ScheduleKind kind :
       {ScheduleKind::kLinear, ScheduleKind::kCosine, ScheduleKind::kConstant}) {
    EXPECT_DOUBLE_EQ(learning_rate(options_of(kind), 1), 0.125);
    EXPECT_DOUBLE_EQ(learning_rate(options_of(kind), 3), 0.375);
    EXPECT_DOUBLE_EQ(learning_rate(options_of(kind), 4), 0.5);
  }
}

TEST(Schedule, FallsFromThePeakToTheLastRate) {
  const ScheduleOptions linear = options_of(ScheduleKind::kLinear);
  EXPECT_DOUBLE_EQ(learning_rate(linear, 8), 0.5 * (0.1 + 0.9 * 0.5));
  EXPECT_DOUBLE_EQ(learning_rate(linear, 10), 0.5 * (1 - 0.9 * 0.75));
  const ScheduleOptions cosine = options_of(ScheduleKind::kCosine);
  EXPECT_DOUBLE_EQ(learning_rate(cosine, 6), 0.5 * (0.1 + 0.9 * 0.5 * (1 + std::sqrt(0.5))));
  EXPECT_DOUBLE_EQ(learning_rate(cosine, 8), 0.5 * 0.55);
  const ScheduleOptions constant = options_of(ScheduleKind::kConstant);
  EXPECT_DOUBLE_EQ(learning_rate(constant, 9), 0.5);
  for (const std::uint64_t step : {12u, 13u, 1000u}) {
    EXPECT_DOUBLE_EQ(learning_rate(linear, step), 0.05);
    EXPECT_DOUBLE_EQ(learning_rate(cosine, step), 0.05);
    EXPECT_DOUBLE_EQ(learning_rate(constant, step), 0.5);
  }
}

TEST(Schedule, NeedsNoWarmUpAndNoFall) {
  ScheduleOptions none = options_of(ScheduleKind::kLinear);
  none.warmup_steps = 0;
  EXPECT_DOUBLE_EQ(learning_rate(none, 6), 0.5 * (1 - 0.9 * 0.5));
  ScheduleOptions only = options_of(ScheduleKind::kCosine);
  only.warmup_steps = only.steps;
  EXPECT_DOUBLE_EQ(learning_rate(only, 6), 0.25);
  EXPECT_DOUBLE_EQ(learning_rate(only, 12), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate(only, 13), 0.05);
}

TEST(Schedule, OfAConfigurationHasItsPeakAndShape) {
  TrainConfig train;
  train.steps = 12;
  train.warmup_steps = 4;
  train.min_ratio = 0.1;
  train.schedule = ScheduleKind::kLinear;
  const memory::Schedule schedule = make_schedule(train, 0.5);
  for (std::uint64_t step = 1; step <= 14; ++step) {
    EXPECT_EQ(schedule(step), learning_rate(options_of(ScheduleKind::kLinear), step));
  }
}

// Dense AdamW over a whole table in double, as SPEC.md has it.
struct DenseAdamW {
  double beta1, beta2, epsilon, weight_decay, clip;
  std::vector<double> table, moment1, moment2;

  void step(std::uint64_t t, double rate, const std::vector<double>& gradient) {
    double norm = 0;
    for (const double g : gradient) norm += g * g;
    norm = std::sqrt(norm);
    const double scale = clip > 0 ? std::min(1.0, clip / (norm + 1e-6)) : 1;
    const double correction1 = 1 - std::pow(beta1, static_cast<double>(t));
    const double correction2 = 1 - std::pow(beta2, static_cast<double>(t));
    for (std::size_t i = 0; i < table.size(); ++i) {
      const double g = gradient[i] * scale;
      moment1[i] = beta1 * moment1[i] + (1 - beta1) * g;
      moment2[i] = beta2 * moment2[i] + (1 - beta2) * g * g;
      table[i] =
          table[i] * (1 - rate * weight_decay) -
          rate * (moment1[i] / correction1) / (std::sqrt(moment2[i] / correction2) + epsilon);
    }
  }
};

class ScheduleGolden : public ::testing::TestWithParam<std::string> {};

TEST_P(ScheduleGolden, LinearScheduleReproducesTheTables) {
  const test::GoldenFile golden(GetParam());
  const io::SafetensorsReader& file = golden.reader;
  const nlohmann::json& config = golden.config;
  const auto width = config["width"].get<std::size_t>();
  DenseAdamW adamw{.beta1 = config["beta1"],
                   .beta2 = config["beta2"],
                   .epsilon = config["eps"],
                   .weight_decay = config["weight_decay"],
                   .clip = config["clip"],
                   .table = file.read_f64("in.table"),
                   .moment1 = {},
                   .moment2 = {}};
  adamw.moment1.resize(adamw.table.size());
  adamw.moment2.resize(adamw.table.size());
  const ScheduleOptions schedule{.kind = ScheduleKind::kLinear,
                                 .peak = config["lr"],
                                 .warmup_steps = config["schedule"]["warmup"],
                                 .steps = config["schedule"]["steps"],
                                 .min_ratio = config["schedule"]["min_ratio"]};

  const std::vector<std::int64_t> counts = file.read_i64("in.row_counts");
  const std::vector<std::int64_t> rows = file.read_i64("in.rows");
  const std::vector<double> gradients = file.read_f64("in.row_grads");
  std::size_t next = 0;
  std::size_t compared = 0;
  for (std::uint64_t t = 1; t <= counts.size(); ++t) {
    std::vector<double> gradient(adamw.table.size());
    for (std::int64_t i = 0; i < counts[t - 1]; ++i, ++next) {
      const std::size_t row = static_cast<std::size_t>(rows[next]);
      for (std::size_t j = 0; j < width; ++j) {
        gradient[row * width + j] += gradients[next * width + j];
      }
    }
    adamw.step(t, learning_rate(schedule, t), gradient);
    const std::string name = "out.step" + std::to_string(t) + ".table";
    if (!file.contains(name)) continue;
    const std::vector<double> expected = file.read_f64(name);
    ASSERT_EQ(expected.size(), adamw.table.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(adamw.table[i], expected[i], 1e-12) << name << " element " << i;
    }
    ++compared;
  }
  EXPECT_EQ(compared, config["snapshots"].size());
}

INSTANTIATE_TEST_SUITE_P(Files, ScheduleGolden, ::testing::ValuesIn(test::golden_files("adamw_")),
                         [](const auto& file) { return test::golden_test_name(file.param); });

TEST(ScheduleGoldenFiles, AreFound) {
  EXPECT_FALSE(test::golden_files("adamw_").empty())
      << "no adamw_*.safetensors in " << test::golden_directory();
}

}  // namespace
}  // namespace mneme::engine
