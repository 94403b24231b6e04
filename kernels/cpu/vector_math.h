// Elementary functions and reductions that the compiler turns into vector code inside vectorised()
// (dispatch.h). No tables, no branches.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include "kernels/cpu/dispatch.h"

namespace mneme::kernels::cpu {

// e^x to about 1.5 units in the last place. 0 below -87.33, infinity above 88.37 (where e^x is
// within a third of the largest float). NaN stays NaN.
MNEME_INLINE float fast_exp(float x) {
  constexpr float kLowest = -87.33f, kHighest = 88.37f;
  const float clamped = x < kLowest ? kLowest : (x > kHighest ? kHighest : x);
  // n = round(x / log 2): adding 1.5 * 2^23 leaves it in the low bits of the sum.
  constexpr float kMagic = 12582912.0f;
  const float shifted = __builtin_fmaf(clamped, 1.44269504088896341f, kMagic);
  const float n = shifted - kMagic;
  // log 2 in two parts, the first of few bits, so that n times it is exact.
  float r = __builtin_fmaf(n, -0.693145751953125f, clamped);
  r = __builtin_fmaf(n, -1.42860682030941723212e-6f, r);
  float p = __builtin_fmaf(r, 1.0f / 5040.0f, 1.0f / 720.0f);
  p = __builtin_fmaf(p, r, 1.0f / 120.0f);
  p = __builtin_fmaf(p, r, 1.0f / 24.0f);
  p = __builtin_fmaf(p, r, 1.0f / 6.0f);
  p = __builtin_fmaf(p, r, 0.5f);
  p = __builtin_fmaf(p, r, 1.0f);
  p = __builtin_fmaf(p, r, 1.0f);
  const float power =
      std::bit_cast<float>((std::bit_cast<std::uint32_t>(shifted) << 23) + 0x3f800000u);
  const float result = p * power;
  const float low = x < kLowest ? 0.0f : result;
  return x > kHighest ? std::numeric_limits<float>::infinity() : low;
}

MNEME_INLINE float fast_sigmoid(float x) {
  return 1.0f / (1.0f + fast_exp(-x));
}

// Sum of term(i) over i < count, for term an always-inlined lambda. The order is fixed by count and
// the instruction set: it depends neither on threads nor on addresses (the build forbids peeling
// loops for alignment).
template <typename Term>
MNEME_INLINE float lane_sum(std::int64_t count, Term term) {
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < count; ++i) sum += term(i);
  return sum;
}

template <typename Term>
MNEME_INLINE double lane_sum_double(std::int64_t count, Term term) {
  double sum = 0.0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < count; ++i) sum += static_cast<double>(term(i));
  return sum;
}

// The largest term(i), or -infinity when count is 0. NaN terms may be lost.
template <typename Term>
MNEME_INLINE float lane_max(std::int64_t count, Term term) {
  float largest = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : largest)
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = term(i);
    largest = value > largest ? value : largest;
  }
  return largest;
}

}  // namespace mneme::kernels::cpu
