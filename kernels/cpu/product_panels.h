// Copies of b in the order in which the inner kernels of matrix products read it.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/dispatch.h"
#include "kernels/cpu/product.h"

namespace mneme::kernels::cpu {

// to[i, j] = from[j, i] of 8 x 8 floats.
MNEME_INLINE void transpose_8x8(const float* from, std::int64_t stride, float* to,
                                std::int64_t to_stride) {
  __m256 rows[8], pairs[8], fours[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) rows[i] = _mm256_loadu_ps(from + i * stride);
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    fours[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
    fours[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
    fours[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
    fours[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(to + i * to_stride, _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x20));
    _mm256_storeu_ps(to + (i + 4) * to_stride,
                     _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x31));
  }
}

// A part of b: terms [term, term + depth), columns [column, column + columns).
struct Part {
  std::int64_t term = 0, depth = 0, column = 0, columns = 0;
};

// Panels of kColumns columns, [depth, kColumns] each; the last is filled up with zeros.
template <int kColumns>
MNEME_INLINE void copy_panels(const Factor& b, const Part& part, float* to) {
  const std::int64_t panel = part.depth * kColumns;
  const std::int64_t whole = part.columns / kColumns * kColumns;
  const std::int64_t rest = part.columns - whole;
  if (!b.transposed) {
    for (std::int64_t p = 0; p < part.depth; ++p) {  // rows are read from end to end
      const float* from = b.data + (part.term + p) * b.stride + part.column;
      float* at = to + p * kColumns;
      for (std::int64_t j = 0; j < whole; j += kColumns, at += panel) {
        std::memcpy(at, from + j, kColumns * sizeof(float));
      }
      if (rest == 0) continue;
      std::fill(std::copy_n(from + whole, rest, at), at + kColumns, 0.0f);
    }
    return;
  }
  for (std::int64_t j = 0; j < part.columns; j += kColumns, to += panel) {
    const float* from = b.data + (part.column + j) * b.stride + part.term;
    const std::int64_t columns = std::min<std::int64_t>(kColumns, part.columns - j);
    const std::int64_t eights = columns / 8 * 8, terms = part.depth / 8 * 8;
    for (std::int64_t i = 0; i < eights; i += 8) {
      for (std::int64_t p = 0; p < terms; p += 8) {
        transpose_8x8(from + i * b.stride + p, b.stride, to + p * kColumns + i, kColumns);
      }
    }
    for (std::int64_t i = 0; i < kColumns; ++i) {
      for (std::int64_t p = i < eights ? terms : 0; p < part.depth; ++p) {
        to[p * kColumns + i] = i < columns ? from[i * b.stride + p] : 0.0f;
      }
    }
  }
}

}  // namespace mneme::kernels::cpu
