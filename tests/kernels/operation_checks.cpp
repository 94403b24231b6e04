#include "tests/kernels/operation_checks.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>

namespace mneme::testing {
namespace {

constexpr std::size_t kGuardBytes = 256;
constexpr unsigned char kGuard = 0xA5;

std::size_t element_bytes(ElementType type) {
  return type == ElementType::kFloat64 ? 8 : type == ElementType::kBFloat16 ? 2 : 4;
}

std::vector<std::byte> encode(const Tensor& tensor) {
  std::vector<std::byte> bytes(tensor.values.size() * element_bytes(tensor.type));
  for (std::size_t i = 0; i < tensor.values.size(); ++i) {
    std::byte* target = bytes.data() + i * element_bytes(tensor.type);
    if (tensor.type == ElementType::kFloat32) {
      const float value = static_cast<float>(tensor.values[i]);
      std::memcpy(target, &value, sizeof value);
    } else if (tensor.type == ElementType::kBFloat16) {
      const std::uint16_t value = kernels::float_to_bf16(static_cast<float>(tensor.values[i]));
      std::memcpy(target, &value, sizeof value);
    } else if (tensor.type == ElementType::kInt32) {
      const auto value = static_cast<std::int32_t>(tensor.values[i]);
      std::memcpy(target, &value, sizeof value);
    } else {
      std::memcpy(target, &tensor.values[i], sizeof(double));
    }
  }
  return bytes;
}

Values decode(const std::vector<std::byte>& bytes, ElementType type) {
  Values values(bytes.size() / element_bytes(type));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::byte* source = bytes.data() + i * element_bytes(type);
    if (type == ElementType::kFloat32) {
      float value = 0;
      std::memcpy(&value, source, sizeof value);
      values[i] = value;
    } else if (type == ElementType::kBFloat16) {
      std::uint16_t value = 0;
      std::memcpy(&value, source, sizeof value);
      values[i] = kernels::bf16_to_float(value);
    } else if (type == ElementType::kInt32) {
      std::int32_t value = 0;
      std::memcpy(&value, source, sizeof value);
      values[i] = value;
    } else {
      std::memcpy(&values[i], source, sizeof(double));
    }
  }
  return values;
}

// A tensor's bytes after the operation, by name.
using Results = std::map<std::string, std::vector<std::byte>>;

// Runs the case with guard bytes on both sides of every tensor and expects them untouched.
Results run_case(kernels::Backend& backend, const OperationCase& operation) {
  struct Guarded {
    kernels::Buffer device, host;
    std::size_t bytes = 0;
  };
  const auto stream = backend.create_stream();
  std::vector<Guarded> buffers;
  DeviceTensors device;
  for (const Tensor& tensor : operation.tensors) {
    const std::vector<std::byte> bytes = encode(tensor);
    Guarded guarded;
    guarded.bytes = bytes.size();
    const std::size_t total = bytes.size() + 2 * kGuardBytes;
    guarded.device = backend.allocate(total, kernels::MemoryKind::kDevice);
    guarded.host = backend.allocate(total, kernels::MemoryKind::kPinnedHost);
    auto* host = guarded.host.as<std::byte>();
    std::memset(host, kGuard, total);
    std::copy(bytes.begin(), bytes.end(), host + kGuardBytes);
    backend.copy(*stream, guarded.device.as<void>(), host, total);
    device.put(tensor.name, guarded.device.as<std::byte>() + kGuardBytes);
    buffers.push_back(std::move(guarded));
  }
  operation.run(backend, *stream, device);
  for (const Guarded& guarded : buffers) {
    backend.copy(*stream, guarded.host.as<void>(), guarded.device.as<void>(),
                 guarded.bytes + 2 * kGuardBytes);
  }
  stream->synchronize();
  Results results;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    const auto* host = buffers[i].host.as<std::byte>();
    const auto is_guard = [](std::byte byte) { return byte == std::byte{kGuard}; };
    const std::byte* end = host + kGuardBytes + buffers[i].bytes;
    EXPECT_TRUE(std::all_of(host, host + kGuardBytes, is_guard))
        << "wrote before the start of " << operation.tensors[i].name;
    EXPECT_TRUE(std::all_of(end, end + kGuardBytes, is_guard))
        << "wrote beyond the end of " << operation.tensors[i].name;
    results[operation.tensors[i].name] = {host + kGuardBytes, end};
  }
  return results;
}

bool same_bits(double x, double y) {
  return std::bit_cast<std::uint64_t>(x) == std::bit_cast<std::uint64_t>(y);
}

// Elements that the oracle leaves alone (inputs, gaps between rows) must keep their bits; the
// others, together, must be within the tolerance.
void expect_close(const Tensor& tensor, const Values& expected, const Values& actual,
                  double tolerance) {
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (same_bits(expected[i], tensor.values[i])) {
      const bool kept = same_bits(actual[i], tensor.values[i]) ||
                        (std::isnan(actual[i]) && std::isnan(tensor.values[i]));
      EXPECT_TRUE(kept) << tensor.name << "[" << i << "] should have stayed " << tensor.values[i]
                        << " but is " << actual[i];
      if (!kept) return;
      continue;
    }
    if (tensor.type == ElementType::kInt32) {
      EXPECT_EQ(actual[i], expected[i]) << tensor.name << "[" << i << "]";
    }
    error += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  // Written so that a NaN fails.
  EXPECT_TRUE(std::sqrt(error) <= tolerance * std::sqrt(norm) + 1e-30)
      << tensor.name << ": relative error " << std::sqrt(error / norm) << " > " << tolerance;
}

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
  const OperationCase& operation = GetParam().operation;
  const Results results = run_case(shared_backend(GetParam().backend), operation);
  OracleTensors expected(operation.tensors);
  operation.oracle(expected);
  for (const Tensor& tensor : operation.tensors) {
    if (tensor.scratch) continue;
    expect_close(tensor, expected[tensor.name], decode(results.at(tensor.name), tensor.type),
                 operation.tolerance);
  }
}

TEST_P(GradientTest, GradientsFollowFiniteDifferences) {
  const OperationCase& operation = GetParam().operation;
  const Differentiation& differentiation = operation.differentiation;
  ASSERT_FALSE(differentiation.inputs.empty());
  const Results results = run_case(shared_backend(GetParam().backend), operation);
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
  const Results once = run_case(shared_backend(backend), operation);
  const auto expect_same = [&once](const Results& again) {
    for (const auto& [name, bytes] : once) EXPECT_TRUE(bytes == again.at(name)) << name;
  };
  expect_same(run_case(shared_backend(backend), operation));
  if (!backend.has_threads) return;
  for (const int threads : {1, 3}) {
    SCOPED_TRACE(threads);
    expect_same(run_case(*backend.make({.threads = threads}), operation));
  }
}

}  // namespace mneme::testing
