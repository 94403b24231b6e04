#include "tests/kernels/operation_checks.h"

#include <algorithm>
#include <cmath>

#include "tests/kernels/operation_run.h"

namespace mneme::testing {
namespace {

double loss(const OperationCase& operation, OracleTensors tensors) {
  operation.differentiation.forward(tensors);
  double sum = 0;
  for (const auto& [output, cotangent] : operation.differentiation.outputs) {
    const Values& values = tensors[output];
    const Values& weights = tensors[cotangent];
    for (std::size_t i = 0; i < values.size(); ++i) {
      // Gaps between strided rows are garbage on both sides and no part of the loss.
      if (!std::isnan(values[i]) && !std::isnan(weights[i])) sum += values[i] * weights[i];
    }
  }
  return sum;
}

// Central differences of the loss in up to 24 elements of `input`, spread over the tensor, against
// the same elements of `gradient` (less what was there before, when it accumulates).
void expect_differences(const OperationCase& operation, const std::string& input,
                        const Values& gradient, const Values& initial, double tolerance) {
  const OracleTensors tensors(operation.tensors);
  const std::size_t count = gradient.size();
  const std::size_t step = std::max<std::size_t>(1, count / 24);
  constexpr double kDelta = 1e-5;
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < count; i += step) {
    OracleTensors above = tensors, below = tensors;
    above[input][i] += kDelta;
    below[input][i] -= kDelta;
    const double expected = (loss(operation, above) - loss(operation, below)) / (2 * kDelta);
    const double actual = gradient[i] - initial[i];
    if (std::isnan(actual) && expected == 0.0) continue;  // a gap
    error += (actual - expected) * (actual - expected);
    norm += expected * expected;
  }
  EXPECT_TRUE(std::sqrt(error) <= tolerance * std::sqrt(norm) + 1e-7)
      << "gradient of " << input << ": error " << std::sqrt(error) << ", norm " << std::sqrt(norm);
}

const Tensor& find(const OperationCase& operation, const std::string& name) {
  const auto found = std::find_if(operation.tensors.begin(), operation.tensors.end(),
                                  [&](const Tensor& tensor) { return tensor.name == name; });
  EXPECT_NE(found, operation.tensors.end()) << name;
  return *found;
}

}  // namespace

TEST_P(OperationTest, MatchesTheOracleAndWritesNothingElse) {
  expect_oracle(shared_backend(GetParam().backend), GetParam().operation);
}

TEST_P(GradientTest, GradientsFollowFiniteDifferences) {
  const OperationCase& operation = GetParam().operation;
  const Differentiation& differentiation = operation.differentiation;
  ASSERT_FALSE(differentiation.inputs.empty());
  const OperationResults results = run_operation(shared_backend(GetParam().backend), operation);
  OracleTensors oracle(operation.tensors);
  operation.oracle(oracle);
  for (const auto& [input, gradient] : differentiation.inputs) {
    SCOPED_TRACE(gradient);
    const Tensor& tensor = find(operation, gradient);
    const bool accumulated =
        std::find(differentiation.accumulated.begin(), differentiation.accumulated.end(),
                  gradient) != differentiation.accumulated.end();
    const Values initial = accumulated ? tensor.values : Values(tensor.values.size(), 0.0);
    expect_differences(operation, input, oracle[gradient], initial, 1e-6);
    expect_differences(operation, input, decode(results.at(gradient), tensor.type), initial, 1e-4);
  }
}

TEST_P(OperationTest, GivesTheSameBitsAgainAndForAnyNumberOfThreads) {
  const auto& [backend, operation] = GetParam();
  const OperationResults once = run_operation(shared_backend(backend), operation);
  const auto expect_same = [&once](const OperationResults& again) {
    for (const auto& [name, bytes] : once) EXPECT_TRUE(bytes == again.at(name)) << name;
  };
  expect_same(run_operation(shared_backend(backend), operation));
  if (!backend.has_threads) return;
  for (const int threads : {1, 3}) {
    SCOPED_TRACE(threads);
    expect_same(run_operation(*backend.make({.threads = threads}), operation));
  }
}

}  // namespace mneme::testing
