#include "tests/kernels/operation_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

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

}  // namespace

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

OperationResults run_operation(kernels::Backend& backend, const OperationCase& operation) {
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
  OperationResults results;
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

namespace {

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

}  // namespace

void expect_oracle(kernels::Backend& backend, const OperationCase& operation) {
  const OperationResults results = run_operation(backend, operation);
  OracleTensors expected(operation.tensors);
  operation.oracle(expected);
  for (const Tensor& tensor : operation.tensors) {
    if (tensor.scratch) continue;
    expect_close(tensor, expected[tensor.name], decode(results.at(tensor.name), tensor.type),
                 operation.tolerance);
  }
}

}  // namespace mneme::testing
