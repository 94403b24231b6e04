// Products of matrices, on the host.
#pragma once

#include <cstdint>

namespace emulator {

// A column-major matrix of float32 or bf16.
struct Matrix {
  const void* data;
  bool bf16;
  std::int64_t leading;  // elements from one column to the next
};

struct Product {
  bool transpose_a;
  bool transpose_b;
  std::int64_t m, n, k;
  float alpha, beta;
};

// c = alpha * op(a) * op(b) + beta * c. REQUIRES: device memory is open.
void multiply(const Product& product, const Matrix& a, const Matrix& b, const Matrix& c);

}  // namespace emulator
