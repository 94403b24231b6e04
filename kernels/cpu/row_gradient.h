// The gradient of one distinct row from its factored form: the sum of weight * d_y over the row's
// lookups in ascending order. row_gradient_norms and update_rows both take it from here, so that
// the norm is that of the gradient that is applied.
#pragma once

#include <cstdint>

#include "io/check.h"
#include "kernels/cpu/weighted_sum.h"

namespace mneme::kernels::cpu {

// Element c of the gradient is source[c] * factor. A row with one lookup needs no sum: source is
// the token's d_y itself.
struct GradientRow {
  const float* source;
  float factor;
};

inline const float* token_gradient(const RowGradient& gradient, std::uint32_t lookup) {
  return gradient.d_y + lookup / gradient.grouped.lookups_per_token * gradient.width;
}

// buffer: [width], used where a sum is needed. row: index among the distinct rows.
template <int kWide>
GradientRow gradient_row(const RowGradient& gradient, std::int64_t row, float* buffer) {
  const GroupedLookups& grouped = gradient.grouped;
  const std::uint32_t begin = grouped.offsets[row], end = grouped.offsets[row + 1];
  if (end - begin == 1) {
    const std::uint32_t lookup = grouped.order[begin];
    return {token_gradient(gradient, lookup), gradient.weights[lookup]};
  }
  const std::int64_t width = gradient.width;
  std::fill(buffer, buffer + width, 0.0f);
  WeightedRows<float> batch;
  for (std::uint32_t at = begin; at < end;) {
    batch.count = std::min<std::int64_t>(batch.kCapacity, end - at);
    for (std::int64_t i = 0; i < batch.count; ++i, ++at) {
      const std::uint32_t lookup = grouped.order[at];
      batch.rows[i] = token_gradient(gradient, lookup);
      batch.weights[i] = gradient.weights[lookup];
    }
    vectorised([&batch, width, buffer]()
                   MNEME_VECTORISE { add_weighted_rows<kWide, 2>(batch, width, buffer); });
  }
  return {buffer, 1.0f};
}

// Squared norm, in an order that depends on the width alone.
inline float square_norm(const GradientRow& row, std::int64_t width) {
  return vectorised([=]() MNEME_VECTORISE {
    Lanes sums[4] = {};
    Lanes factor;
    fill_lanes(row.factor, factor);
    std::int64_t column = 0;
    for (; column + 4 * kLanes <= width; column += 4 * kLanes) {
#pragma GCC unroll 4
      for (int b = 0; b < 4; ++b) {
        Lanes g;
        load_lanes(row.source + column + b * kLanes, g);
        g *= factor;
        sums[b] += g * g;
      }
    }
    for (; column + kLanes <= width; column += kLanes) {
      Lanes g;
      load_lanes(row.source + column, g);
      g *= factor;
      sums[0] += g * g;
    }
    float sum = add_up_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
    for (; column < width; ++column) {
      const float g = row.source[column] * row.factor;
      sum = fused_multiply_add(g, g, sum);
    }
    return sum;
  });
}

inline void check_gradient(const RowGradient& gradient) {
  CHECK(gradient.width >= 1 && gradient.grouped.lookups_per_token >= 1);
  CHECK(gradient.grouped.offsets != nullptr && gradient.grouped.order != nullptr);
}

}  // namespace mneme::kernels::cpu
