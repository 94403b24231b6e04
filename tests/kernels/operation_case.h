// One case of one operation: its tensors, how a backend runs it, and what a float64 oracle makes of
// the same tensors. Tables of such cases feed every check of operation_checks.h.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "kernels/scalar.h"

namespace mneme::testing {

enum class ElementType { kFloat32, kBFloat16, kInt32, kFloat64 };

using Values = std::vector<double>;

// Initial contents; an oracle and a backend start from the same ones. Values must be representable
// in the type.
struct Tensor {
  std::string name;
  Values values;
  ElementType type = ElementType::kFloat32;
  bool scratch = false;  // what is in it after the operation does not matter
};

// The nearest numbers that a floating-point type has.
inline Values rounded(Values values, kernels::FloatType type) {
  for (double& value : values) {
    const auto exact = static_cast<float>(value);
    value = type == kernels::FloatType::kF32
                ? exact
                : kernels::bf16_to_float(kernels::float_to_bf16(exact));
  }
  return values;
}

inline Tensor float_tensor(const std::string& name, const Values& values, kernels::FloatType type) {
  const bool wide = type == kernels::FloatType::kF32;
  return {name, rounded(values, type), wide ? ElementType::kFloat32 : ElementType::kBFloat16};
}

// The oracle's view: every tensor in float64, changed in place.
class OracleTensors {
 public:
  explicit OracleTensors(const std::vector<Tensor>& tensors) {
    for (const Tensor& tensor : tensors) values_[tensor.name] = tensor.values;
  }
  Values& operator[](const std::string& name) { return values_.at(name); }

 private:
  std::map<std::string, Values> values_;
};

// The backend's view: device pointers.
class DeviceTensors {
 public:
  void put(const std::string& name, void* data) { data_[name] = data; }
  float* operator[](const std::string& name) const { return as<float>(name); }
  template <typename T>
  T* as(const std::string& name) const {
    return static_cast<T*>(data_.at(name));
  }

 private:
  std::map<std::string, void*> data_;
};

// How to differentiate: with loss = <output, cotangent>, the gradient tensor of each input must be
// what finite differences of the oracle's forward give.
struct Differentiation {
  std::function<void(OracleTensors&)> forward;
  std::vector<std::pair<std::string, std::string>> outputs;  // (output, its cotangent)
  std::vector<std::pair<std::string, std::string>> inputs;   // (input, its gradient)
  std::vector<std::string> accumulated;                      // gradients that add to what was there
};

struct OperationCase {
  std::string name;  // letters, digits and underscores
  std::vector<Tensor> tensors;
  std::function<void(kernels::Backend&, kernels::Stream&, const DeviceTensors&)> run;
  std::function<void(OracleTensors&)> oracle;
  Differentiation differentiation = {};  // for backward operations
  double tolerance = 1e-5;               // of the relative error of each tensor
};

// Of operations that work in bf16: rounding the inputs and results of a few steps inside.
inline constexpr double kBf16Tolerance = 1e-2;
// Of those that compute in float32 and round the result, once: 2^-8 at most.
inline constexpr double kBf16Rounding = 4e-3;

// Deterministic test numbers, exactly representable in float32.
class Numbers {
 public:
  explicit Numbers(std::uint32_t seed) : engine_(seed) {}
  Values normal(std::int64_t count, double scale = 1.0) {
    std::normal_distribution<double> distribution(0.0, scale);
    Values values(static_cast<std::size_t>(count));
    for (double& value : values) value = static_cast<float>(distribution(engine_));
    return values;
  }
  Values below(std::int64_t count, std::int64_t limit) {
    std::uniform_int_distribution<std::int64_t> distribution(0, limit - 1);
    Values values(static_cast<std::size_t>(count));
    for (double& value : values) value = static_cast<double>(distribution(engine_));
    return values;
  }

 private:
  std::mt19937 engine_;
};

// What an output that must be overwritten holds before: reading it would spoil the result.
inline Values garbage(std::int64_t count) {
  return Values(static_cast<std::size_t>(count), std::numeric_limits<double>::quiet_NaN());
}

// Index arithmetic of oracles in signed integers.
inline double& at(Values& values, std::int64_t i) {
  return values.at(static_cast<std::size_t>(i));
}

}  // namespace mneme::testing
