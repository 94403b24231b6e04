// What a row's columns lose in its missed AdamW steps: SPEC.md's sum in the closed form of
// CatchUpEntry.
#pragma once

#include <cstdint>

#include "kernels/cuda/device_math.h"
#include "kernels/row_ops.h"

namespace mneme::kernels::cuda {

inline constexpr int kTerms = kCatchUpTerms;

// Q of the closed form. A parameter of kernels: every thread reads the same coefficient.
struct Denominator {
  float coefficients[kTerms + 1];
};

// What all columns of one row share.
struct RowScalars {
  float numerator[kTerms];  // P times D(l, t)
  float decay;              // D(l, t)
  float moment1, moment2;   // what makes the moments those of step l
  float scale;              // 1 / b_(l+1)
  float scaled_epsilon;     // epsilon * scale
  float inverse_epsilon;
};

template <int kCount>
__device__ __forceinline__ float polynomial(const float (&coefficients)[kCount], float z) {
  float sum = coefficients[kCount - 1];
#pragma unroll
  for (int i = kCount - 2; i >= 0; --i) sum = fused_multiply_add(sum, z, coefficients[i]);
  return sum;
}

template <int kCount>
__device__ __forceinline__ float reversed_polynomial(const float (&coefficients)[kCount], float z) {
  float sum = coefficients[0];
#pragma unroll
  for (int i = 1; i < kCount; ++i) sum = fused_multiply_add(sum, z, coefficients[i]);
  return sum;
}

// 1/sqrt(x) for normal x, to a few units in the last place: Newton's iteration from a guess made of
// x's bits.
__device__ __forceinline__ float inverse_root(float x) {
  float y = bits_float(0x5f375a86u - (float_bits(x) >> 1));
  const float half = 0.5f * x;
#pragma unroll
  for (int i = 0; i < 3; ++i) y *= fused_multiply_add(-half * y, y, 1.5f);
  return y;
}

// The smallest moment that inverse_root serves.
inline constexpr float kSmallestMoment = 1e-36f;

// The closed form with exact roots, and in 1/z where z = scaled_epsilon / sqrt(v) > 1.
__device__ inline float closed_drift_of_small(const RowScalars& row, const Denominator& q,
                                              float moment1, float moment2) {
  if (moment1 == 0.0f) return 0.0f;
  const float root = sqrtf(moment2);
  if (root < row.scaled_epsilon) {
    const float r = root / row.scaled_epsilon;
    return moment1 * row.inverse_epsilon * reversed_polynomial(row.numerator, r) /
           reversed_polynomial(q.coefficients, r);
  }
  const float z = row.scaled_epsilon / root;
  return moment1 * row.scale / root * polynomial(row.numerator, z) / polynomial(q.coefficients, z);
}

// drift[c] = what value c loses. Columns with sqrt(v) >= scaled_epsilon, nearly all, take the quick
// way; the others are done again, out of its way.
template <int kColumnCount>
__device__ __forceinline__ void closed_drift(const RowScalars& row, const Denominator& q,
                                             const float (&moment1)[kColumnCount],
                                             const float (&moment2)[kColumnCount],
                                             float (&drift)[kColumnCount]) {
  const float smallest = fmaxf(kSmallestMoment, row.scaled_epsilon * row.scaled_epsilon);
  bool small = false;
#pragma unroll
  for (int c = 0; c < kColumnCount; ++c) {
    const float inverse = inverse_root(moment2[c]);
    const float z = row.scaled_epsilon * inverse;
    const float ratio = polynomial(row.numerator, z) / polynomial(q.coefficients, z);
    drift[c] = moment1[c] * row.scale * inverse * ratio;
    small = small || moment2[c] < smallest;
  }
  if (!small) return;
#pragma unroll
  for (int c = 0; c < kColumnCount; ++c) {
    if (moment2[c] < smallest) drift[c] = closed_drift_of_small(row, q, moment1[c], moment2[c]);
  }
}

}  // namespace mneme::kernels::cuda
