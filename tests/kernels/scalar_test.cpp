#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "kernels/cpu/vector_math.h"
#include "kernels/scalar.h"
#include "tests/support/golden_directory.h"

namespace mneme::kernels {
namespace {

TEST(Philox, GivesTheKnownAnswers) {
  std::ifstream file(test::golden_directory() + "/philox4x32_10.json");
  ASSERT_TRUE(file) << test::golden_directory();
  const nlohmann::json answers = nlohmann::json::parse(file);
  ASSERT_FALSE(answers.empty());
  for (const auto& answer : answers) {
    PhiloxBlock counter{};
    for (std::size_t i = 0; i < 4; ++i) counter.v[i] = answer["counter"][i];
    const PhiloxBlock out = philox4x32_10(counter, answer["key"][0], answer["key"][1]);
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(out.v[i], answer["output"][i].get<std::uint32_t>()) << answer.dump();
    }
  }
}

TEST(Bf16, RoundsToTheNearestAndTiesToEven) {
  EXPECT_EQ(float_to_bf16(1.0f), 0x3f80);
  EXPECT_EQ(float_to_bf16(-2.5f), 0xc020);
  EXPECT_EQ(float_to_bf16(bits_float(0x3f808000)), 0x3f80) << "tie, even below";
  EXPECT_EQ(float_to_bf16(bits_float(0x3f818000)), 0x3f82) << "tie, even above";
  EXPECT_EQ(float_to_bf16(bits_float(0x3f808001)), 0x3f81);
  EXPECT_EQ(float_to_bf16(bits_float(0x3f807fff)), 0x3f80);
  EXPECT_EQ(float_to_bf16(bits_float(0x7f7fffff)), 0x7f80) << "overflows to infinity";
  EXPECT_EQ(float_to_bf16(-0.0f), 0x8000);
}

TEST(Bf16, KeepsInfinitiesAndNotANumber) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(bf16_to_float(float_to_bf16(infinity)), infinity);
  EXPECT_EQ(bf16_to_float(float_to_bf16_stochastic(-infinity, 0xffff)), -infinity);
  // A payload in the low bits alone must not turn the number into infinity.
  EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(bits_float(0x7f800001)))));
  EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16_stochastic(bits_float(0x7fffffff), 0xffff))));
}

TEST(Bf16, EveryValueSurvivesTheWayToFloatAndBack) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto value = static_cast<std::uint16_t>(bits);
    if (std::isnan(bf16_to_float(value))) continue;
    ASSERT_EQ(float_to_bf16(bf16_to_float(value)), value);
    ASSERT_EQ(float_to_bf16_stochastic(bf16_to_float(value), 0xffff), value);
  }
}

TEST(Bf16, StochasticRoundingHasTheRightMean) {
  for (const float x : {1.2345678f, -3.1415927f, 1e-20f, 65504.1f}) {
    SCOPED_TRACE(x);
    double sum = 0;
    for (std::uint32_t random = 0; random < 0x10000; ++random) {
      sum += bf16_to_float(float_to_bf16_stochastic(x, random));
    }
    EXPECT_NEAR(sum / 0x10000 / static_cast<double>(x), 1.0, 1e-7);
  }
}

TEST(Normal, IsFiniteAtTheEndsOfItsInput) {
  for (const std::uint32_t first : {0u, 1u, 0x7fffffffu, 0x80000000u, 0xfffffffeu, 0xffffffffu}) {
    for (const std::uint32_t second : {0u, 0x3fffffffu, 0x40000000u, 0x80000000u, 0xffffffffu}) {
      const NormalPair pair = normal_pair(first, second);
      EXPECT_TRUE(std::isfinite(pair.first) && std::isfinite(pair.second))
          << first << " " << second;
      EXPECT_LT(std::hypot(pair.first, pair.second), 6.8f);
    }
  }
}

TEST(Normal, FollowsBoxAndMuller) {
  std::uint32_t state = 12345;
  for (int i = 0; i < 20000; ++i) {
    const PhiloxBlock random = philox4x32_10({{state++, 0, 0, 0}}, 1, 2);
    const double uniform = (random.v[0] + 0.5) / 4294967296.0;
    const double angle = 2 * M_PI * random.v[1] / 4294967296.0;
    const double radius = std::sqrt(-2 * std::log(uniform));
    const NormalPair pair = normal_pair(random.v[0], random.v[1]);
    // Near uniform = 1 the logarithm is small and float's rounding of the uniform number shows.
    ASSERT_NEAR(pair.first, radius * std::cos(angle), 2e-6 + 2e-7 / (radius + 1e-9)) << i;
    ASSERT_NEAR(pair.second, radius * std::sin(angle), 2e-6 + 2e-7 / (radius + 1e-9)) << i;
  }
}

TEST(Normal, HasTheMomentsOfANormalDistribution) {
  constexpr int kPairs = 200000;
  double moments[4] = {};
  for (std::uint32_t i = 0; i < kPairs; ++i) {
    const PhiloxBlock random = philox4x32_10({{i, 7, 0, 0}}, 3, 4);
    const NormalPair pair = normal_pair(random.v[0], random.v[1]);
    for (const double x : {double{pair.first}, double{pair.second}}) {
      double power = 1;
      for (double& moment : moments) moment += power *= x;
    }
  }
  for (double& moment : moments) moment /= 2.0 * kPairs;
  // Five standard errors of each moment over 400,000 numbers.
  EXPECT_NEAR(moments[0], 0, 5 * 1.0 / 632);
  EXPECT_NEAR(moments[1], 1, 5 * 1.42 / 632);
  EXPECT_NEAR(moments[2], 0, 5 * 3.88 / 632);
  EXPECT_NEAR(moments[3], 3, 5 * 9.8 / 632);
}

TEST(FastExp, IsWithinTwoUnitsInTheLastPlace) {
  double worst = 0;
  for (float x = -87.3f; x < 88.3f; x += 0.00137f) {
    worst = std::max(worst, std::abs(cpu::fast_exp(x) / std::exp(static_cast<double>(x)) - 1));
  }
  EXPECT_LT(worst, 2 * 1.2e-7);
  EXPECT_EQ(cpu::fast_exp(0.0f), 1.0f);
}

TEST(FastExp, SaturatesAndKeepsNotANumber) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(cpu::fast_exp(-infinity), 0.0f);
  EXPECT_EQ(cpu::fast_exp(-1000.0f), 0.0f);
  EXPECT_EQ(cpu::fast_exp(1000.0f), infinity);
  EXPECT_EQ(cpu::fast_exp(infinity), infinity);
  EXPECT_TRUE(std::isnan(cpu::fast_exp(std::numeric_limits<float>::quiet_NaN())));
}

}  // namespace
}  // namespace mneme::kernels
