// Naive float64 gates: gated silu and the scalar gate, with their backwards.
#pragma once

#include <cmath>

#include "tests/kernels/operation_case.h"

namespace mneme::testing::oracle {

inline double sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

inline void gated_silu(Values& gate, Values& value, Values& out) {
  for (std::size_t i = 0; i < gate.size(); ++i) out[i] = value[i] * gate[i] * sigmoid(gate[i]);
}

// d_out may be d_gate.
inline void gated_silu_backward(Values& gate, Values& value, Values& d_out, Values& d_gate,
                                Values& d_value) {
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const double d = d_out[i], s = sigmoid(gate[i]);
    d_value[i] = d * gate[i] * s;
    d_gate[i] = d * value[i] * (s + gate[i] * s * (1.0 - s));
  }
}

struct ScalarGateShape {
  std::int64_t tokens, width, value_width;
};

// out may be value.
inline void scalar_gate(const ScalarGateShape& shape, Values& x, Values& weight, Values& bias,
                        Values& value, Values& out, Values& rho) {
  for (std::int64_t t = 0; t < shape.tokens; ++t) {
    double a = at(bias, 0);
    for (std::int64_t i = 0; i < shape.width; ++i) a += at(x, t * shape.width + i) * at(weight, i);
    at(rho, t) = sigmoid(a);
    for (std::int64_t i = 0; i < shape.value_width; ++i) {
      at(out, t * shape.value_width + i) = sigmoid(a) * at(value, t * shape.value_width + i);
    }
  }
}

struct ScalarGateGradients {
  Values &d_value, &d_x, &d_weight, &d_bias;
};

// d_out may be gradients.d_value.
inline void scalar_gate_backward(const ScalarGateShape& shape, Values& x, Values& weight,
                                 Values& bias, Values& value, Values& d_out,
                                 const ScalarGateGradients& gradients) {
  for (std::int64_t t = 0; t < shape.tokens; ++t) {
    double a = at(bias, 0), d_rho = 0;
    for (std::int64_t i = 0; i < shape.width; ++i) a += at(x, t * shape.width + i) * at(weight, i);
    const double rho = sigmoid(a);
    for (std::int64_t i = 0; i < shape.value_width; ++i) {
      const std::int64_t element = t * shape.value_width + i;
      d_rho += at(d_out, element) * at(value, element);
      at(gradients.d_value, element) = rho * at(d_out, element);
    }
    const double d_a = rho * (1.0 - rho) * d_rho;
    for (std::int64_t i = 0; i < shape.width; ++i) {
      at(gradients.d_x, t * shape.width + i) += d_a * at(weight, i);
      at(gradients.d_weight, i) += d_a * at(x, t * shape.width + i);
    }
    at(gradients.d_bias, 0) += d_a;
  }
}

}  // namespace mneme::testing::oracle
