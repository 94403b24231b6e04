// Naive float64 normalisation and its backward, by the formula of NormKind.
#pragma once

#include <cmath>

#include "kernels/dense_ops.h"
#include "tests/kernels/operation_case.h"

namespace mneme::testing::oracle {

struct NormShape {
  kernels::NormKind kind;
  std::int64_t rows, width, gain_rows;
  double epsilon = static_cast<double>(1e-5f);
};

inline double norm_factor(const NormShape& shape, Values& x, std::int64_t row) {
  double squares = 0;
  for (std::int64_t i = 0; i < shape.width; ++i) {
    squares += at(x, row * shape.width + i) * at(x, row * shape.width + i);
  }
  if (shape.kind == kernels::NormKind::kRms) squares /= static_cast<double>(shape.width);
  return 1.0 / std::sqrt(squares + shape.epsilon);
}

inline void norm(const NormShape& shape, Values& x, Values& gain, Values& out, Values& inverse) {
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    at(inverse, row) = norm_factor(shape, x, row);
    for (std::int64_t i = 0; i < shape.width; ++i) {
      at(out, row * shape.width + i) = at(x, row * shape.width + i) * at(inverse, row) *
                                       at(gain, row % shape.gain_rows * shape.width + i);
    }
  }
}

// The Jacobian of one row, element by element: d out_j / d x_i = gain_j (inverse [i = j] -
// inverse^3 x_i x_j / divisor).
inline void norm_backward(const NormShape& shape, bool accumulate, Values& x, Values& gain,
                          Values& d_out, Values& d_x, Values& d_gain) {
  const double divisor =
      shape.kind == kernels::NormKind::kRms ? static_cast<double>(shape.width) : 1.0;
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    const double inverse = norm_factor(shape, x, row);
    const std::int64_t start = row * shape.width;
    const std::int64_t gains = row % shape.gain_rows * shape.width;
    for (std::int64_t i = 0; i < shape.width; ++i) {
      double sum = 0;
      for (std::int64_t j = 0; j < shape.width; ++j) {
        const double own = i == j ? inverse : 0.0;
        const double shared =
            inverse * inverse * inverse * at(x, start + i) * at(x, start + j) / divisor;
        sum += at(d_out, start + j) * at(gain, gains + j) * (own - shared);
      }
      at(d_x, start + i) = sum + (accumulate ? at(d_x, start + i) : 0.0);
      at(d_gain, gains + i) += at(d_out, start + i) * at(x, start + i) * inverse;
    }
  }
}

}  // namespace mneme::testing::oracle
