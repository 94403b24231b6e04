// The layout of the dense parameters and their initial values.
#include "engine/parameters.h"

#include <gtest/gtest.h>

#include <set>

#include "engine/model_options.h"
#include "io/error.h"
#include "tests/engine/test_model.h"
#include "tests/support/test_backend.h"

namespace mneme::test {
namespace {

using engine::InitKind;
using engine::Parameter;
using engine::ParameterBuffer;
using engine::ParameterDeclaration;
using engine::Parameters;

class ParametersTest : public ::testing::Test {
 protected:
  std::vector<float> initial(std::vector<ParameterDeclaration> declarations,
                             const std::string& name, std::uint64_t seed) {
    Parameters parameters(backend_, std::move(declarations));
    parameters.initialize(*stream_, seed);
    return parameters.read(*stream_, ParameterBuffer::kValues, parameters.find(name));
  }

  kernels::Backend& backend_ = mneme::testing::test_backend();
  std::unique_ptr<kernels::Stream> stream_ = backend_.create_stream();
};

TEST_F(ParametersTest, RangesCoverTheBufferAndDecayExactlyMatricesAndKeys) {
  Parameters parameters(backend_, engine::declare_parameters(small_model_options()));
  std::int64_t next = 0;
  std::set<bool> settings;
  for (const engine::ParameterRange& range : parameters.ranges()) {
    EXPECT_EQ(range.offset, next);
    next += range.count;
    EXPECT_TRUE(settings.insert(range.decays).second) << "settings in two ranges";
  }
  EXPECT_EQ(next, parameters.size());
  EXPECT_EQ(settings.size(), 2u);

  std::int64_t end = 0;
  for (const Parameter& parameter : parameters.directory()) {
    const std::string& name = parameter.declaration.name;
    EXPECT_GE(parameter.offset, end) << name << " overlaps its neighbour";
    EXPECT_EQ(parameter.offset % 16, 0) << name;
    end = parameter.offset + parameter.count;
    const bool vector = name.ends_with("norm.weight") || name.ends_with(".bias");
    for (const engine::ParameterRange& range : parameters.ranges()) {
      if (parameter.offset < range.offset || parameter.offset >= range.offset + range.count)
        continue;
      EXPECT_EQ(range.decays, !vector) << name;
      EXPECT_LE(end, range.offset + range.count) << name;
    }
  }
}

TEST_F(ParametersTest, InitialValuesDependOnSeedAndNameOnly) {
  const ParameterDeclaration a{"a", {7, 3}, {InitKind::kNormal, 1}};
  const ParameterDeclaration b{"b", {5}, {InitKind::kUniform, 1}};
  const ParameterDeclaration c{"c", {7, 3}, {InitKind::kNormal, 1}};
  const std::vector<float> alone = initial({a}, "a", 9);
  EXPECT_EQ(initial({b, c, a}, "a", 9), alone);
  EXPECT_NE(initial({b, c, a}, "c", 9), alone);
  EXPECT_NE(initial({a}, "a", 10), alone);
  // A longer parameter of the name begins alike.
  const std::vector<float> longer = initial({{"a", {9, 3}, {InitKind::kNormal, 1}}}, "a", 9);
  EXPECT_TRUE(std::equal(alone.begin(), alone.end(), longer.begin()));
}

TEST_F(ParametersTest, InitialValuesFollowTheirDistributions) {
  constexpr std::int64_t kCount =
      1'100'003;  // more than one staging buffer, and not a multiple of 4
  const std::vector<ParameterDeclaration> declarations = {
      {"normal", {kCount}, {InitKind::kNormal, 0.5}},
      {"uniform", {kCount}, {InitKind::kUniform, 2.0}},
      {"zeros", {9}, {InitKind::kZeros, 0}},
      {"ones", {9}, {InitKind::kOnes, 0}}};
  const auto moments = [](const std::vector<float>& values) {
    double sum = 0, squares = 0, fourth = 0;
    for (const float x : values) {
      const double square = static_cast<double>(x) * x;
      sum += x, squares += square, fourth += square * square;
    }
    const auto n = static_cast<double>(values.size());
    return std::array{sum / n, squares / n, fourth / n};
  };
  const std::vector<float> normal = initial(declarations, "normal", 1);
  const auto n = moments(normal);
  EXPECT_NEAR(n[0], 0, 0.5 * 5e-3);
  EXPECT_NEAR(n[1], 0.25, 0.25 * 1e-2);
  EXPECT_NEAR(n[2], 3 * 0.0625, 3 * 0.0625 * 2e-2);
  // No stretch repeats another one.
  EXPECT_EQ(std::set<float>(normal.begin(), normal.begin() + 999).size(), 999u);

  const std::vector<float> uniform = initial(declarations, "uniform", 1);
  const auto u = moments(uniform);
  EXPECT_NEAR(u[0], 0, 1e-2);
  EXPECT_NEAR(u[1], 4.0 / 3, 1e-2);
  EXPECT_NEAR(u[2], 16.0 / 5, 4e-2);
  const auto [low, high] = std::minmax_element(uniform.begin(), uniform.end());
  EXPECT_GT(*low, -2.0f);
  EXPECT_LT(*high, 2.0f);
  EXPECT_EQ(initial(declarations, "zeros", 1), std::vector<float>(9, 0.0f));
  EXPECT_EQ(initial(declarations, "ones", 1), std::vector<float>(9, 1.0f));
}

TEST_F(ParametersTest, WhatIsWrittenIsReadAndNeighboursStay) {
  Parameters parameters(backend_, {{"a", {3}, {InitKind::kOnes, 0}},
                                   {"b", {1'500'001}, {InitKind::kZeros, 0}},
                                   {"c", {5}, {InitKind::kOnes, 0}}});
  parameters.initialize(*stream_, 1);
  for (const auto which : {ParameterBuffer::kValues, ParameterBuffer::kGradients,
                           ParameterBuffer::kMoment1, ParameterBuffer::kMoment2}) {
    const Parameter& b = parameters.find("b");
    std::vector<float> values(static_cast<std::size_t>(b.count));
    std::iota(values.begin(), values.end(), 0.0f);
    const std::vector<float> before = parameters.read(*stream_, which, parameters.find("a"));
    parameters.write(*stream_, which, b, values);
    EXPECT_EQ(parameters.read(*stream_, which, b), values);
    EXPECT_EQ(parameters.read(*stream_, which, parameters.find("a")), before);
    const float other = which == ParameterBuffer::kValues ? 1.0f : 0.0f;
    EXPECT_EQ(parameters.read(*stream_, which, parameters.find("c")), std::vector<float>(5, other));
  }
  EXPECT_THROW(parameters.find("d"), io::Error);
}

TEST_F(ParametersTest, AModelStartsWithALossNearThatOfUniformGuesses) {
  engine::ModelOptions options = small_model_options();
  options.vocabulary = 64;
  options.width = 64;
  options.feed_forward_hidden = 128;
  options.blocks = 6;
  TestModel test(options);
  const double loss = test.evaluate(random_tokens(options, 2).whole());
  EXPECT_GT(loss, std::log(64.0) - 0.5);
  EXPECT_LT(loss, std::log(64.0) + 1.5);
}

}  // namespace
}  // namespace mneme::test
