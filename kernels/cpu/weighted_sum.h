// The weighted sum of rows that gather_rows, row_gradient_norms and update_rows share: sums of one
// column run over the rows in the order given, one fused multiply-add after the other, whatever the
// split into calls and column blocks.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/row_math.h"

namespace mneme::kernels::cpu {

// A few rows with their weights, collected before the arithmetic so that memory can be asked for
// early.
template <typename Row>
struct WeightedRows {
  static constexpr std::int64_t kCapacity = 128;
  const Row* rows[kCapacity];
  float weights[kCapacity];
  std::int64_t count = 0;
};

// sums[b] += sum of weight * row over columns [column + 16 b, + 16), b < kBlocks. With Ahead > 0
// the same columns of the row `Ahead` later are prefetched.
template <int kBlocks, int kAhead, typename Row>
MNEME_INLINE void add_weighted_lanes(const WeightedRows<Row>& batch, std::int64_t column,
                                     Lanes (&sums)[kBlocks]) {
  const std::int64_t count = batch.count;
  for (std::int64_t i = 0; i < count; ++i) {
    if constexpr (kAhead > 0) {
      const Row* later = batch.rows[std::min(i + kAhead, count - 1)] + column;
      prefetch_bytes(later, kBlocks * kLanes * static_cast<std::int64_t>(sizeof(Row)));
    }
    const Row* row = batch.rows[i] + column;
    Lanes weight;
    fill_lanes(batch.weights[i], weight);
#pragma GCC unroll 16
    for (int b = 0; b < kBlocks; ++b) {
      Lanes x;
      load_lanes(row + b * kLanes, x);
      sums[b] += weight * x;
    }
  }
}

// Written as that of the lanes is, so that a build fuses both or neither: which columns come this
// way depends on the range.
template <typename Row>
MNEME_INLINE float add_weighted_scalar(const WeightedRows<Row>& batch, std::int64_t column,
                                       float sum) {
  for (std::int64_t i = 0; i < batch.count; ++i) {
    sum += batch.weights[i] * load_scalar(batch.rows[i] + column);
  }
  return sum;
}

// sums[c] += sum of weight * row, c < width. kWide: how many vectors to keep in registers.
template <int kWide, int kAhead, typename Row>
MNEME_INLINE void add_weighted_rows(const WeightedRows<Row>& batch, std::int64_t width,
                                    float* sums) {
  std::int64_t column = 0;
  for (; column + kWide * kLanes <= width; column += kWide * kLanes) {
    Lanes block[kWide];
#pragma GCC unroll 16
    for (int b = 0; b < kWide; ++b) load_lanes(sums + column + b * kLanes, block[b]);
    add_weighted_lanes<kWide, kAhead>(batch, column, block);
#pragma GCC unroll 16
    for (int b = 0; b < kWide; ++b) store_lanes(sums + column + b * kLanes, block[b]);
  }
  for (; column + kLanes <= width; column += kLanes) {
    Lanes block[1];
    load_lanes(sums + column, block[0]);
    add_weighted_lanes<1, kAhead>(batch, column, block);
    store_lanes(sums + column, block[0]);
  }
  for (; column < width; ++column) sums[column] = add_weighted_scalar(batch, column, sums[column]);
}

// Calls body with the number of vectors that fit the machine's registers beside the operands.
template <typename Body>
void with_register_blocks(const Body& body) {
  if (use_avx512()) {
    body(std::integral_constant<int, 16>{});
  } else {
    body(std::integral_constant<int, 4>{});
  }
}

}  // namespace mneme::kernels::cpu
