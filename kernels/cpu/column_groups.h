// Sums over the columns of a range, by column groups (row_layout.h). Each group is summed in an
// order that depends on its width alone: running sums of 16 lanes each, added up as a tree.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/cpu/row_math.h"
#include "kernels/row_layout.h"

namespace mneme::kernels::cpu {

inline constexpr int kMostGroups = 8;

namespace internal {
using HalfLanes = float __attribute__((vector_size(32)));
using QuarterLanes = float __attribute__((vector_size(16)));
using QuarterIndices = std::int32_t __attribute__((vector_size(16)));

MNEME_INLINE void fold_lanes(const Lanes& x, QuarterLanes& out) {
  const HalfLanes half = __builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7) +
                         __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15);
  out = __builtin_shufflevector(half, half, 0, 1, 2, 3) +
        __builtin_shufflevector(half, half, 4, 5, 6, 7);
}
// (x0 + x2) + (x1 + x3) of four vectors.
MNEME_INLINE void fold_quarters(const QuarterLanes* x, QuarterLanes& out) {
  constexpr QuarterIndices kLow = {0, 1, 4, 5}, kHigh = {2, 3, 6, 7};
  constexpr QuarterIndices kEven = {0, 2, 4, 6}, kOdd = {1, 3, 5, 7};
  const QuarterLanes ab =
      __builtin_shuffle(x[0], x[1], kLow) + __builtin_shuffle(x[0], x[1], kHigh);
  const QuarterLanes cd =
      __builtin_shuffle(x[2], x[3], kLow) + __builtin_shuffle(x[2], x[3], kHigh);
  out = __builtin_shuffle(ab, cd, kEven) + __builtin_shuffle(ab, cd, kOdd);
}

// The lanes' sums of a group of columns, which is a multiple of 8: one running sum of narrow
// groups, four of wide ones.
template <typename Terms>
MNEME_INLINE void sum_group_lanes(std::int64_t begin, std::int64_t width, const Terms& terms,
                                  Lanes& out) {
  std::int64_t column = begin;
  const std::int64_t end = begin + width;
  if (width < 4 * kLanes) {
    Lanes sum = {};
    for (; column + kLanes <= end; column += kLanes) terms.add(column, sum);
    if (column < end) terms.add_half(column, sum);
    out = sum;
    return;
  }
  Lanes sums[4] = {};
  for (; column + 4 * kLanes <= end; column += 4 * kLanes) {
#pragma GCC unroll 4
    for (int b = 0; b < 4; ++b) terms.add(column + b * kLanes, sums[b]);
  }
  for (; column + kLanes <= end; column += kLanes) terms.add(column, sums[0]);
  if (column < end) terms.add_half(column, sums[1]);
  out = (sums[0] + sums[1]) + (sums[2] + sums[3]);
}
}  // namespace internal

// sums[g] = sum of the terms of column group g, g < columns.groups(). Terms:
//   add(column, lanes)       lanes += 16 columns' terms
//   add_half(column, lanes)  the first 8 lanes += 8 columns' terms
//   add_one(column, sum)     sum plus one column's term
template <typename Terms>
MNEME_INLINE void sum_groups(const ColumnRange& columns, const Terms& terms,
                             float (&sums)[kMostGroups]) {
  const auto width = static_cast<std::int64_t>(columns.group_width());
  if (columns.all_groups() == 1) {
    Lanes lanes;
    const std::int64_t even = width / kLanes * kLanes;
    internal::sum_group_lanes(0, even, terms, lanes);
    float sum = add_up_lanes(lanes);
    for (std::int64_t column = even; column < width; ++column) sum = terms.add_one(column, sum);
    sums[0] = sum;
    return;
  }
  const auto groups = static_cast<int>(columns.groups());
  internal::QuarterLanes quarters[kMostGroups] = {};
#pragma GCC unroll 8
  for (int g = 0; g < kMostGroups; ++g) {
    if (g >= groups) break;
    Lanes lanes;
    internal::sum_group_lanes(g * width, width, terms, lanes);
    internal::fold_lanes(lanes, quarters[g]);
  }
  for (int half = 0; half < 2; ++half) {
    internal::QuarterLanes four;
    internal::fold_quarters(quarters + 4 * half, four);
    std::memcpy(sums + 4 * half, &four, sizeof(four));
  }
}

// Products of a float32 vector with a row. The same columns of a row to come are asked for on the
// way.
template <typename Value>
struct DotTerms {
  const float* x;
  const Value* row;
  const Value* coming;

  MNEME_INLINE void add(std::int64_t column, Lanes& lanes) const {
    __builtin_prefetch(coming + column, 0, 3);
    Lanes a, v;
    load_lanes(x + column, a);
    load_lanes(row + column, v);
    lanes += a * v;
  }
  MNEME_INLINE void add_half(std::int64_t column, Lanes& lanes) const {
    __builtin_prefetch(coming + column, 0, 3);
    Lanes a, v;
    load_half_lanes(x + column, a);
    load_half_lanes(row + column, v);
    lanes += a * v;
  }
  MNEME_INLINE float add_one(std::int64_t column, float sum) const {
    return fused_multiply_add(x[column], load_scalar(row + column), sum);
  }
};

// Squares of a vector times a factor.
struct SquareTerms {
  const float* x;
  float factor;

  MNEME_INLINE void add(std::int64_t column, Lanes& lanes) const {
    Lanes g;
    load_lanes(x + column, g);
    g *= factor;
    lanes += g * g;
  }
  MNEME_INLINE void add_half(std::int64_t column, Lanes& lanes) const {
    Lanes g;
    load_half_lanes(x + column, g);
    g *= factor;
    lanes += g * g;
  }
  MNEME_INLINE float add_one(std::int64_t column, float sum) const {
    const float g = x[column] * factor;
    return fused_multiply_add(g, g, sum);
  }
};

}  // namespace mneme::kernels::cpu
