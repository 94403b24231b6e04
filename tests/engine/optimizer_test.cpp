// Dense AdamW with clipping against its definition in double precision.
#include "engine/optimizer.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/engine/test_model.h"
#include "tests/support/test_backend.h"

namespace mneme::test {
namespace {

using engine::InitKind;
using engine::Parameter;
using engine::ParameterBuffer;
using engine::ParameterGroup;

struct Reference {
  std::vector<double> value, moment1, moment2;
  double decay = 0;
};

double rate_of(std::uint64_t step) {
  return 1e-2 / static_cast<double>(step);
}

class DenseOptimizerTest : public ::testing::Test {
 protected:
  DenseOptimizerTest()
      : parameters_(backend_, {{"matrix", {5, 7}, {InitKind::kNormal, 1}},
                               {"vector", {9}, {InitKind::kNormal, 1}},
                               {"keys", {2, 3}, {InitKind::kNormal, 1}, ParameterGroup::kMemory},
                               {"bias", {3}, {InitKind::kNormal, 1}, ParameterGroup::kMemory}}) {
    parameters_.initialize(*stream_, 4);
  }
  void set_gradients(std::mt19937_64& random, float scale) {
    std::normal_distribution<float> normal(0, scale);
    for (const Parameter& parameter : parameters_.directory()) {
      std::vector<float> gradient(static_cast<std::size_t>(parameter.count));
      for (float& g : gradient) g = normal(random);
      parameters_.write(*stream_, ParameterBuffer::kGradients, parameter, gradient);
    }
  }
  std::vector<float> read(ParameterBuffer which, const Parameter& parameter) {
    return parameters_.read(*stream_, which, parameter);
  }

  kernels::Backend& backend_ = mneme::testing::test_backend();
  std::unique_ptr<kernels::Stream> stream_ = backend_.create_stream();
  engine::Parameters parameters_;
};

TEST_F(DenseOptimizerTest, StepsLikeAdamWWithOneGlobalNormAndNoDecayOfVectors) {
  const engine::DenseOptimizerOptions options{
      .learning_rate = rate_of, .weight_decay = 0.3, .clip_norm = 2.0};
  engine::DenseOptimizer optimizer(backend_, parameters_, options);
  std::vector<Reference> references;
  for (const Parameter& parameter : parameters_.directory()) {
    const std::vector<float> start = read(ParameterBuffer::kValues, parameter);
    references.push_back({.value = {start.begin(), start.end()},
                          .moment1 = std::vector<double>(start.size()),
                          .moment2 = std::vector<double>(start.size()),
                          .decay = parameter.declaration.shape.size() > 1 ? 0.3 : 0.0});
  }
  std::mt19937_64 random(7);
  for (std::uint64_t step = 1; step <= 12; ++step) {
    set_gradients(random, step % 3 == 0 ? 0.1f : 1.5f);  // some steps clip, some do not
    double squares = 0;
    for (const Parameter& parameter : parameters_.directory()) {
      squares += std::pow(norm(read(ParameterBuffer::kGradients, parameter)), 2);
    }
    const double scale = std::min(1.0, 2.0 / std::sqrt(squares));
    const double t = static_cast<double>(step);
    for (std::size_t p = 0; p < references.size(); ++p) {
      const std::vector<float> gradient =
          read(ParameterBuffer::kGradients, parameters_.directory()[p]);
      Reference& reference = references[p];
      const double rate = rate_of(step);
      for (std::size_t i = 0; i < gradient.size(); ++i) {
        const double g = scale * gradient[i];
        double& m = reference.moment1[i];
        double& v = reference.moment2[i];
        m = 0.9 * m + 0.1 * g;
        v = 0.95 * v + 0.05 * g * g;
        const double update =
            m / (1 - std::pow(0.9, t)) / (std::sqrt(v / (1 - std::pow(0.95, t))) + 1e-8);
        reference.value[i] -= rate * (reference.decay * reference.value[i] + update);
      }
    }
    optimizer.step(*stream_, step);
    stream_->synchronize();
    EXPECT_NEAR(optimizer.gradient_norm(), std::sqrt(squares), 1e-6 * std::sqrt(squares));
  }
  for (std::size_t p = 0; p < references.size(); ++p) {
    const Parameter& parameter = parameters_.directory()[p];
    SCOPED_TRACE(parameter.declaration.name);
    EXPECT_LE(relative_error(read(ParameterBuffer::kValues, parameter), references[p].value), 1e-6);
    EXPECT_LE(relative_error(read(ParameterBuffer::kMoment1, parameter), references[p].moment1),
              1e-5);
    EXPECT_LE(relative_error(read(ParameterBuffer::kMoment2, parameter), references[p].moment2),
              1e-5);
  }
}

TEST_F(DenseOptimizerTest, PaddingStaysZero) {
  engine::DenseOptimizer optimizer(backend_, parameters_, {.learning_rate = rate_of});
  std::mt19937_64 random(8);
  for (std::uint64_t step = 1; step <= 3; ++step) {
    set_gradients(random, 1);
    optimizer.step(*stream_, step);
  }
  const Parameter& matrix = parameters_.find("matrix");
  const auto padding = static_cast<std::size_t>(48 - matrix.count);
  for (const auto which :
       {ParameterBuffer::kValues, ParameterBuffer::kMoment1, ParameterBuffer::kMoment2}) {
    Parameter behind = matrix;
    behind.offset += matrix.count;
    behind.count = static_cast<std::int64_t>(padding);
    EXPECT_EQ(read(which, behind), std::vector<float>(padding, 0.0f));
  }
}

TEST_F(DenseOptimizerTest, AGradientThatIsNotFiniteDoesNotReachTheParameters) {
  engine::DenseOptimizer optimizer(backend_, parameters_,
                                   {.learning_rate = rate_of, .weight_decay = 0});
  const Parameter& matrix = parameters_.find("matrix");
  const std::vector<float> before = read(ParameterBuffer::kValues, matrix);
  std::vector<float> gradient(35, 0.5f);
  gradient[3] = std::numeric_limits<float>::quiet_NaN();
  gradient[4] = std::numeric_limits<float>::infinity();
  parameters_.write(*stream_, ParameterBuffer::kGradients, matrix, gradient);
  optimizer.step(*stream_, 1);
  stream_->synchronize();
  EXPECT_FALSE(std::isfinite(optimizer.gradient_norm()));
  EXPECT_EQ(read(ParameterBuffer::kValues, matrix), before);
}

}  // namespace
}  // namespace mneme::test
