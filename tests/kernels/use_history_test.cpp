// How the weight of uses falls, and what a location keeps of it, against double precision.
#include "kernels/use_history.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace mneme::kernels::use_history {
namespace {

double share(double steps) {
  return std::exp2(-steps / kHalfLife);
}

TEST(UseHistory, LosesHalfOfItsWeightInAHalfLife) {
  for (std::uint32_t steps = 0; steps < 3000; ++steps) {
    EXPECT_NEAR(kept_share(steps) / share(steps), 1, 1e-6) << steps;
  }
  EXPECT_EQ(kept_share(kHalfLife), 0.5f);
  EXPECT_EQ(kept_share(0xffffffffu), 0);
}

TEST(UseHistory, CountsAStepOnceAndStaysBelowWhatAUseInEveryStepGives) {
  UseHistory history;
  double expected = 0;
  for (std::uint32_t step = 1; step < 5000; ++step) {
    for (int lease = 0; lease < 3; ++lease) history = {step, after_use(history, step)};
    expected = expected * share(1) + 1;
    ASSERT_NEAR(history.uses, expected, 1e-4 * expected);
    ASSERT_LT(history.uses, 47);
    ASSERT_LE(float_bits(history.uses) >> 19, kMostUses);
  }
  EXPECT_EQ(after_use({}, 7), 1);
  EXPECT_NEAR(uses_as_of({5, 4}, 5 + 2 * kHalfLife), 1, 1e-6);
  EXPECT_EQ(uses_as_of({5, 4}, 3), 4);
}

// Of two rows the one of less weight has the larger shortfall, unless they are within a sixteenth
// of a halving, or within what a straight line is off a logarithm.
TEST(UseHistory, ShortfallsAreInTheOrderOfWeights) {
  std::mt19937 random(3);
  constexpr std::uint32_t kNow = 10'000;
  const auto drawn = [&] {
    const std::uint32_t ago = random() % (random() % 2 == 0 ? 50 : 2000);
    return UseHistory{kNow - ago, 1 + static_cast<float>(random() % 4500) / 100};
  };
  for (int i = 0; i < 20'000; ++i) {
    const UseHistory a = drawn(), b = drawn();
    const double weight_a = a.uses * share(kNow - a.step), weight_b = b.uses * share(kNow - b.step);
    if (std::fabs(std::log2(weight_a / weight_b)) < 0.3) continue;
    EXPECT_EQ(weight_a<weight_b, shortfall(a.step, a.uses, kNow)> shortfall(b.step, b.uses, kNow));
  }
  // Never used is less than used once, a long time ago.
  EXPECT_GT(shortfall(kNow, 0, kNow), shortfall(kNow - 4000, 1, kNow));
}

TEST(UseHistory, IsKeptInTheLocationOfARowOnDisk) {
  EXPECT_EQ(on_disk({}), location_of(Place::kDisk));
  EXPECT_EQ(of_location(location_of(Place::kDisk), 9).uses, 0);
  EXPECT_EQ(of_location(location_of(Place::kDevice, 77), 9).uses, 0);
  EXPECT_EQ(of_location(0, 9).uses, 0);
  std::mt19937 random(5);
  for (int i = 0; i < 20'000; ++i) {
    const std::uint32_t step = random() % (random() % 2 == 0 ? 100 : 40'000'000);
    const std::uint32_t now = step + random() % 8'000'000;
    const UseHistory history{step, 1 + static_cast<float>(random() % 4500) / 100};
    const Location location = on_disk(history);
    ASSERT_EQ(place_of(location), Place::kDisk);
    if (slot_of(location) == 0) continue;  // one use in step 0, or a multiple of 2^23
    const UseHistory kept = of_location(location, now);
    ASSERT_EQ(kept.step, step);
    ASSERT_LE(kept.uses, history.uses);
    ASSERT_GT(kept.uses, history.uses * (1 - 1.0f / 16));
  }
  // Less than one use is one use longer ago.
  const UseHistory kept = of_location(on_disk({1000, 0.25f}), 1000);
  EXPECT_EQ(kept.uses, 1);
  EXPECT_EQ(kept.step, 1000 - 2 * kHalfLife);
}

}  // namespace
}  // namespace mneme::kernels::use_history
