// A linear map y = x W^T, or y = x W^T + b, with W [out, in], as the three matmuls of its life.
// Operands have the backend's compute type; results have it too, or are float32. Biases are
// float32.
#pragma once

#include <cstdint>

#include "io/check.h"
#include "kernels/backend.h"

namespace mneme::kernels {

struct LinearShape {
  std::int64_t rows = 0;  // tokens
  std::int64_t in = 0;
  std::int64_t out = 0;
  std::int64_t d_y_stride = 0;  // elements from row to row of d_y; 0: out
};

// Where a linear map puts its result.
struct LinearResult {
  void* data = nullptr;
  FloatType type = FloatType::kF32;
  bool accumulate = false;  // adds to what is there
};

// The products of a linear map's life, for one map (below) or for many together
// (ExpertOps::grouped_matmul). Operands are of type `type`.
//
// y (+)= x W^T. x: [rows, in], weight: [out, in], y: [rows, out].
inline MatmulArgs linear_product(FloatType type, const LinearShape& shape, const void* x,
                                 const void* weight, const LinearResult& y) {
  return {.a = x,
          .b = weight,
          .c = y.data,
          .input_type = type,
          .output_type = y.type,
          .m = shape.rows,
          .n = shape.out,
          .k = shape.in,
          .lda = shape.in,
          .ldb = shape.in,
          .ldc = shape.out,
          .transpose_b = true,
          .accumulate = y.accumulate};
}
// d_x (+)= d_y W.
inline MatmulArgs linear_input_product(FloatType type, const LinearShape& shape, const void* d_y,
                                       const void* weight, const LinearResult& d_x) {
  return {.a = d_y,
          .b = weight,
          .c = d_x.data,
          .input_type = type,
          .output_type = d_x.type,
          .m = shape.rows,
          .n = shape.in,
          .k = shape.out,
          .lda = shape.d_y_stride != 0 ? shape.d_y_stride : shape.out,
          .ldb = shape.in,
          .ldc = shape.in,
          .accumulate = d_x.accumulate};
}
// d_W += d_y^T x.
inline MatmulArgs linear_weight_product(FloatType type, const LinearShape& shape, const void* d_y,
                                        const void* x, float* d_weight) {
  return {.a = d_y,
          .b = x,
          .c = d_weight,
          .input_type = type,
          .m = shape.out,
          .n = shape.in,
          .k = shape.rows,
          .lda = shape.d_y_stride != 0 ? shape.d_y_stride : shape.out,
          .ldb = shape.in,
          .ldc = shape.in,
          .transpose_a = true,
          .accumulate = true};
}

// y (+)= x W^T + bias: [out], added where it is not null.
inline void linear(Backend& backend, Stream& stream, const LinearShape& shape, const void* x,
                   const void* weight, const LinearResult& y, const float* bias = nullptr) {
  backend.matmul(stream, linear_product(backend.compute_type(), shape, x, weight, y));
  if (bias == nullptr) return;
  backend.add_bias(
      stream, {.x = y.data, .type = y.type, .bias = bias, .rows = shape.rows, .width = shape.out});
}

// d_x (+)= d_y W.
inline void linear_input_gradient(Backend& backend, Stream& stream, const LinearShape& shape,
                                  const void* d_y, const void* weight, const LinearResult& d_x) {
  backend.matmul(stream, linear_input_product(backend.compute_type(), shape, d_y, weight, d_x));
}

// d_W += d_y^T x; where d_bias is not null, it += the rows of d_y, which then must be dense.
inline void linear_weight_gradient(Backend& backend, Stream& stream, const LinearShape& shape,
                                   const void* d_y, const void* x, float* d_weight,
                                   float* d_bias = nullptr) {
  backend.matmul(stream, linear_weight_product(backend.compute_type(), shape, d_y, x, d_weight));
  if (d_bias == nullptr) return;
  CHECK(shape.d_y_stride == 0);
  backend.sum_rows(stream, {.x = d_y,
                            .type = backend.compute_type(),
                            .out = d_bias,
                            .rows = shape.rows,
                            .width = shape.out});
}

}  // namespace mneme::kernels
