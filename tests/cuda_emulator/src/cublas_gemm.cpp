#include "tests/cuda_emulator/src/cublas_gemm.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <memory>
#include <vector>

#include "kernels/cpu/product.h"

namespace emulator {
namespace {

float widen(std::uint16_t x) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(x) << 16);
}

// To the nearest, ties to even.
std::uint16_t narrow(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (x != x) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// A matrix in float32: the matrix itself, or a copy without gaps.
struct Wide {
  const float* data;
  std::int64_t leading;
  std::vector<float> copy;
};

Wide widen(const Matrix& matrix, std::int64_t rows, std::int64_t columns) {
  if (!matrix.bf16) return {static_cast<const float*>(matrix.data), matrix.leading, {}};
  Wide wide{nullptr, std::max<std::int64_t>(rows, 1), {}};
  wide.copy.resize(static_cast<std::size_t>(rows * columns));
  const auto* from = static_cast<const std::uint16_t*>(matrix.data);
  for (std::int64_t column = 0; column < columns; ++column) {
    for (std::int64_t row = 0; row < rows; ++row) {
      wide.copy[column * rows + row] = widen(from[column * matrix.leading + row]);
    }
  }
  wide.data = wide.copy.data();
  return wide;
}

}  // namespace

void multiply(const Product& product, const Matrix& a, const Matrix& b, const Matrix& c) {
  const auto [transpose_a, transpose_b, m, n, k, alpha, beta] = product;
  const Wide wide_a = transpose_a ? widen(a, k, m) : widen(a, m, k);
  const Wide wide_b = transpose_b ? widen(b, n, k) : widen(b, k, n);
  auto* const half = static_cast<std::uint16_t*>(const_cast<void*>(c.data));
  auto* to = static_cast<float*>(const_cast<void*>(c.data));
  std::int64_t leading = c.leading;
  std::vector<float> wide_c;
  if (c.bf16) {
    wide_c.resize(static_cast<std::size_t>(m * n));
    if (beta != 0.0f) wide_c = widen(c, m, n).copy;
    to = wide_c.data();
    leading = m;
  }
  if (beta != 0.0f && beta != 1.0f) {
    for (std::int64_t column = 0; column < n; ++column) {
      for (std::int64_t row = 0; row < m; ++row) to[column * leading + row] *= beta;
    }
  }
  // The transposed product, of matrices that lie in rows.
  const auto scratch =
      std::make_unique_for_overwrite<float[]>(mneme::kernels::cpu::kProductScratch);
  mneme::kernels::cpu::multiply({.m = n,
                                 .n = m,
                                 .k = k,
                                 .a = {wide_b.data, wide_b.leading, transpose_b},
                                 .b = {wide_a.data, wide_a.leading, transpose_a},
                                 .c = to,
                                 .c_stride = leading,
                                 .alpha = alpha,
                                 .accumulate = beta != 0.0f},
                                scratch.get());
  if (!c.bf16) return;
  for (std::int64_t column = 0; column < n; ++column) {
    for (std::int64_t row = 0; row < m; ++row) {
      half[column * c.leading + row] = narrow(wide_c[column * m + row]);
    }
  }
}

}  // namespace emulator
