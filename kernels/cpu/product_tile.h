// The inner kernels of matrix products: tiles of the result that stay in registers. Everything here
// is inlined into a function that is compiled for one instruction set.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/cpu/dispatch.h"
#include "kernels/cpu/product.h"

namespace mneme::kernels::cpu {

// Sizes of a tile: rows times two vectors. The sums, a row of b and one number of a take all
// registers but one (14 * 2 + 2 + 1 of 32, 6 * 2 + 2 + 1 of 16).
struct Avx2 {
  static constexpr int kLanes = 8;
  static constexpr int kRows = 6;
  using Vector [[gnu::vector_size(32)]] = float;
};
struct Avx512 {
  static constexpr int kLanes = 16;
  static constexpr int kRows = 14;
  using Vector [[gnu::vector_size(64)]] = float;
};

template <class Isa>
constexpr int kTileColumns = 2 * Isa::kLanes;

// From one row of a to the next where they were copied: not a multiple of the distance at which
// lines share their places in the first cache.
constexpr std::int64_t kCopiedRow = kProductDepth + 16;

// Up to Isa::kRows rows of c, over all columns of a block of b, and `depth` terms of their sums.
struct Strip {
  std::int64_t depth = 0, columns = 0;
  // Rows of a at distance kCopiedRow; or, by depth, the numbers of all rows beside each other and
  // a_step to the next term.
  const float* a = nullptr;
  std::int64_t a_step = 0;
  // b in panels of kTileColumns, and in a panel b_step from term to term.
  const float* b = nullptr;
  std::int64_t b_panel = 0, b_step = 0;
  float* c = nullptr;
  std::int64_t c_stride = 0;
  float alpha = 1.0f;
  bool accumulate = false;
};

template <class Isa, bool kByDepth, int kRows>
MNEME_INLINE void multiply_tile(const Strip& strip, const float* b, float* c,
                                std::int64_t c_stride) {
  using Vector = typename Isa::Vector;
  const float* a = strip.a;
  // What the sums are added to or written over comes while they are made.
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    __builtin_prefetch(c + i * c_stride, 1);
    __builtin_prefetch(c + i * c_stride + kTileColumns<Isa> - 1, 1);
  }
  Vector left[kRows], right[kRows];  // sums of either half of the columns
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) left[i] = right[i] = Vector{};
#pragma GCC unroll 1
  for (std::int64_t p = 0; p < strip.depth; ++p) {
    Vector b_left, b_right;
    std::memcpy(&b_left, b, sizeof(Vector));
    std::memcpy(&b_right, b + Isa::kLanes, sizeof(Vector));
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const float factor = a[kByDepth ? i : i * kCopiedRow];
      left[i] += factor * b_left;
      right[i] += factor * b_right;
    }
    a += kByDepth ? strip.a_step : 1;
    b += strip.b_step;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    float* const to = c + i * c_stride;
    left[i] *= strip.alpha;
    right[i] *= strip.alpha;
    if (strip.accumulate) {
      Vector old_left, old_right;
      std::memcpy(&old_left, to, sizeof(Vector));
      std::memcpy(&old_right, to + Isa::kLanes, sizeof(Vector));
      left[i] += old_left;
      right[i] += old_right;
    }
    std::memcpy(to, &left[i], sizeof(Vector));
    std::memcpy(to + Isa::kLanes, &right[i], sizeof(Vector));
  }
}

template <class Isa, bool kByDepth, int kRows>
MNEME_INLINE void multiply_rows(const Strip& strip) {
  constexpr std::int64_t kColumns = kTileColumns<Isa>;
  const float* b = strip.b;
  std::int64_t column = 0;
  for (; column + kColumns <= strip.columns; column += kColumns, b += strip.b_panel) {
    multiply_tile<Isa, kByDepth, kRows>(strip, b, strip.c + column, strip.c_stride);
  }
  if (column == strip.columns) return;
  // The last columns, fewer than a tile has, pass through a whole one.
  float tile[kRows * kColumns] = {};
  const std::size_t bytes = static_cast<std::size_t>(strip.columns - column) * sizeof(float);
  float* const c = strip.c + column;
  if (strip.accumulate) {
    for (int i = 0; i < kRows; ++i) std::memcpy(tile + i * kColumns, c + i * strip.c_stride, bytes);
  }
  multiply_tile<Isa, kByDepth, kRows>(strip, b, tile, kColumns);
  for (int i = 0; i < kRows; ++i) std::memcpy(c + i * strip.c_stride, tile + i * kColumns, bytes);
}

// rows: 1 to kRows.
template <class Isa, bool kByDepth, int kRows = Isa::kRows>
MNEME_INLINE void multiply_strip(std::int64_t rows, const Strip& strip) {
  if (rows == kRows) return multiply_rows<Isa, kByDepth, kRows>(strip);
  if constexpr (kRows > 1) multiply_strip<Isa, kByDepth, kRows - 1>(rows, strip);
}

}  // namespace mneme::kernels::cpu
