// A Linear without bias, y = x W^T with W [out, in], as the three matmuls of its life.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace mneme::engine {

struct LinearShape {
  std::int64_t rows = 0;  // tokens
  std::int64_t in = 0;
  std::int64_t out = 0;
};

// y (+)= x W^T. x: [rows, in], weight: [out, in], y: [rows, out].
inline void linear(kernels::Backend& backend, kernels::Stream& stream, const LinearShape& shape,
                   const float* x, const float* weight, float* y, bool accumulate) {
  backend.matmul(stream, {.a = x,
                          .b = weight,
                          .c = y,
                          .m = shape.rows,
                          .n = shape.out,
                          .k = shape.in,
                          .lda = shape.in,
                          .ldb = shape.in,
                          .ldc = shape.out,
                          .transpose_b = true,
                          .accumulate = accumulate});
}

// d_x (+)= d_y W.
inline void linear_input_gradient(kernels::Backend& backend, kernels::Stream& stream,
                                  const LinearShape& shape, const float* d_y, const float* weight,
                                  float* d_x, bool accumulate) {
  backend.matmul(stream, {.a = d_y,
                          .b = weight,
                          .c = d_x,
                          .m = shape.rows,
                          .n = shape.in,
                          .k = shape.out,
                          .lda = shape.out,
                          .ldb = shape.in,
                          .ldc = shape.in,
                          .accumulate = accumulate});
}

// d_W += d_y^T x.
inline void linear_weight_gradient(kernels::Backend& backend, kernels::Stream& stream,
                                   const LinearShape& shape, const float* d_y, const float* x,
                                   float* d_weight) {
  backend.matmul(stream, {.a = d_y,
                          .b = x,
                          .c = d_weight,
                          .m = shape.out,
                          .n = shape.in,
                          .k = shape.rows,
                          .lda = shape.out,
                          .ldb = shape.in,
                          .ldc = shape.in,
                          .transpose_a = true,
                          .accumulate = true});
}

}  // namespace mneme::engine
