// The gradient of one part of one distinct row from its factored form: the sum of factor * vector
// over the row's lookups in ascending order. accumulate_gradient, row_gradient_norms and
// update_rows all take it from here, so that the norm is that of the gradient that is applied.
#pragma once

#include <cstdint>

#include "kernels/cpu/column_groups.h"
#include "kernels/cpu/weighted_sum.h"

namespace mneme::kernels::cpu {

// Element c of the gradient is source[c] * factor. A row with one lookup of a float32 vector needs
// no sum: source is the token's vector itself.
struct GradientRow {
  const float* source;
  float factor;
};

template <typename Vector>
const Vector* token_vector(const GroupedLookups& grouped, const GradientPart& part,
                           std::uint32_t lookup) {
  return static_cast<const Vector*>(part.vectors) +
         lookup / grouped.lookups_per_token * std::int64_t{part.columns.count};
}

inline float factor_of(const GradientPart& part, std::uint32_t lookup) {
  return part.factors != nullptr ? part.factors[lookup] : 1.0f;
}

// sums: [columns]; the terms of a row's lookups are added to it one by one. row: index among the
// distinct rows.
template <int kWide, typename Vector>
void add_gradient_row(const GroupedLookups& grouped, const GradientPart& part, std::int64_t row,
                      float* sums) {
  const std::uint32_t begin = grouped.offsets[row], end = grouped.offsets[row + 1];
  const std::int64_t width = part.columns.count;
  WeightedRows<Vector> batch;
  for (std::uint32_t at = begin; at < end;) {
    batch.count = std::min<std::int64_t>(batch.kCapacity, end - at);
    for (std::int64_t i = 0; i < batch.count; ++i, ++at) {
      const std::uint32_t lookup = grouped.order[at];
      batch.rows[i] = token_vector<Vector>(grouped, part, lookup);
      batch.weights[i] = factor_of(part, lookup);
    }
    vectorised([&batch, width, sums]()
                   MNEME_VECTORISE { add_weighted_rows<kWide, 2>(batch, width, sums); });
  }
}

// buffer: [columns], used where a sum is needed.
template <int kWide, typename Vector>
GradientRow gradient_row(const GroupedLookups& grouped, const GradientPart& part, std::int64_t row,
                         float* buffer) {
  const std::uint32_t begin = grouped.offsets[row], end = grouped.offsets[row + 1];
  if constexpr (std::is_same_v<Vector, float>) {
    if (end - begin == 1) {
      const std::uint32_t lookup = grouped.order[begin];
      return {token_vector<float>(grouped, part, lookup), factor_of(part, lookup)};
    }
  }
  std::fill(buffer, buffer + part.columns.count, 0.0f);
  add_gradient_row<kWide, Vector>(grouped, part, row, buffer);
  return {buffer, 1.0f};
}

// Squared norms of its column groups.
inline void square_norms_of(const GradientRow& row, const ColumnRange& columns,
                            float (&sums)[kMostGroups]) {
  float* const out = sums;
  vectorised([=]() MNEME_VECTORISE {
    float groups[kMostGroups];
    sum_groups(columns, SquareTerms{row.source, row.factor}, groups);
    for (int g = 0; g < kMostGroups; ++g) out[g] = groups[g];
  });
}

}  // namespace mneme::kernels::cpu
