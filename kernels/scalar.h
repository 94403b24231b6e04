// Scalar maths that host and device share, so that both compute the same: bf16, the counter-based
// random generator, normal numbers, AdamW of one element.
//
// Everything that decides stored values without an input tensor (the initial rows) is written with
// explicit fused multiply-adds and IEEE operations only: it gives the same bits on every backend
// and instruction set, so a checkpoint that leaves untouched rows out can move between machines.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define MNEME_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define MNEME_HOST_DEVICE inline __attribute__((always_inline))
#endif

namespace mneme::kernels {

MNEME_HOST_DEVICE std::uint32_t float_bits(float x) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(x);
#else
  return std::bit_cast<std::uint32_t>(x);
#endif
}
MNEME_HOST_DEVICE std::uint32_t bit_count(std::uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return static_cast<std::uint32_t>(__popc(bits));
#else
  return static_cast<std::uint32_t>(std::popcount(bits));
#endif
}

MNEME_HOST_DEVICE float bits_float(std::uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  return std::bit_cast<float>(bits);
#endif
}
MNEME_HOST_DEVICE float fused_multiply_add(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return fmaf(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}

// ---- bf16: the upper half of a float32 ----

MNEME_HOST_DEVICE float bf16_to_float(std::uint16_t x) {
  return bits_float(static_cast<std::uint32_t>(x) << 16);
}

// Rounds to the nearest bf16, ties to even. Overflow gives infinity; a NaN stays a (quiet) NaN.
MNEME_HOST_DEVICE std::uint16_t float_to_bf16(float x) {
  const std::uint32_t bits = float_bits(x);
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return static_cast<std::uint16_t>(nan ? (bits >> 16) | 0x40u : rounded);
}

// Rounds away from zero with a probability equal to the fraction that is cut off; `random` holds 16
// random bits. The mean over all 65,536 of them is x itself. Infinities and NaNs stay what they
// are.
MNEME_HOST_DEVICE std::uint16_t float_to_bf16_stochastic(float x, std::uint32_t random) {
  const std::uint32_t bits = float_bits(x);
  const std::uint32_t rounded = (bits + (random & 0xffffu)) >> 16;
  const bool finite = (bits & 0x7f800000u) != 0x7f800000u;
  return static_cast<std::uint16_t>(finite ? rounded : float_to_bf16(x));
}

// ---- Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) ----

struct PhiloxBlock {
  std::uint32_t v[4];
};

// Four random words: a pure function of counter and key.
MNEME_HOST_DEVICE PhiloxBlock philox4x32_10(PhiloxBlock counter, std::uint32_t key0,
                                            std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * counter.v[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * counter.v[2];
    counter = {{static_cast<std::uint32_t>(product1 >> 32) ^ counter.v[1] ^ key0,
                static_cast<std::uint32_t>(product1),
                static_cast<std::uint32_t>(product0 >> 32) ^ counter.v[3] ^ key1,
                static_cast<std::uint32_t>(product0)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// ---- Normal numbers ----

// The natural logarithm of a normal, positive x, to about 1e-7 of max(1, |log x|).
MNEME_HOST_DEVICE float log_positive(float x) {
  // x = m * 2^e with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh((m - 1) / (m + 1)).
  const std::uint32_t shifted = float_bits(x) - 0x3f3504f3u;
  const float e = static_cast<float>(static_cast<std::int32_t>(shifted) >> 23);
  const float m = bits_float((shifted & 0x007fffffu) + 0x3f3504f3u);
  const float s = (m - 1.0f) / (m + 1.0f);
  const float z = s * s;
  float series = fused_multiply_add(z, 2.0f / 9.0f, 2.0f / 7.0f);
  series = fused_multiply_add(series, z, 2.0f / 5.0f);
  series = fused_multiply_add(series, z, 2.0f / 3.0f);
  series = fused_multiply_add(series, z, 2.0f);
  return fused_multiply_add(e, 0.693147180559945f, s * series);
}

struct SinCos {
  float sine, cosine;
};

// Sine and cosine of 2 pi * turn / 2^32.
MNEME_HOST_DEVICE SinCos sin_cos_turn(std::uint32_t turn) {
  // The nearest quarter turn, and an angle of at most an eighth of a turn from it.
  const std::uint32_t quarter = (turn + 0x20000000u) >> 30;
  const float rest = static_cast<float>(static_cast<std::int32_t>(turn - (quarter << 30)));
  const float angle = rest * 1.4629180792671596e-9f;  // 2 pi / 2^32
  const float z = angle * angle;
  float sine = fused_multiply_add(z, 1.0f / 362880.0f, -1.0f / 5040.0f);
  sine = fused_multiply_add(sine, z, 1.0f / 120.0f);
  sine = fused_multiply_add(sine, z, -1.0f / 6.0f);
  sine = fused_multiply_add(sine * z, angle, angle);
  float cosine = fused_multiply_add(z, 1.0f / 40320.0f, -1.0f / 720.0f);
  cosine = fused_multiply_add(cosine, z, 1.0f / 24.0f);
  cosine = fused_multiply_add(cosine, z, -0.5f);
  cosine = fused_multiply_add(cosine, z, 1.0f);
  const bool swap = (quarter & 1u) != 0;
  const float s = swap ? cosine : sine;
  const float c = swap ? sine : cosine;
  return {(quarter & 2u) != 0 ? -s : s, ((quarter + 1u) & 2u) != 0 ? -c : c};
}

struct NormalPair {
  float first, second;
};

// Two independent standard normal numbers from two random words (Box-Muller). Always finite: the
// uniform number below lies in [2^-33, 1], so no value exceeds 6.8.
MNEME_HOST_DEVICE NormalPair normal_pair(std::uint32_t random0, std::uint32_t random1) {
  const float uniform =
      fused_multiply_add(static_cast<float>(random0), 2.3283064365386963e-10f, 0x1p-33f);
  // The logarithm of 1 may come out as -0 or +0, never above.
  const float radius = __builtin_sqrtf(-2.0f * log_positive(uniform));
  const SinCos direction = sin_cos_turn(random1);
  return {radius * direction.cosine, radius * direction.sine};
}

// ---- Sums of groups ----

// ((x[0] + x[1]) + (x[2] + x[3])) + ..., in place. count: a power of two.
template <typename T>
MNEME_HOST_DEVICE T tree_sum(T* x, int count) {
  for (int stride = 1; stride < count; stride *= 2) {
    for (int i = 0; i + stride < count; i += 2 * stride) x[i] += x[i + stride];
  }
  return x[0];
}

// What gradients of this square norm are multiplied with.
MNEME_HOST_DEVICE float clip_factor(double square_sum, float limit) {
  const double norm = __builtin_sqrt(square_sum);
  if (!(square_sum <= 1.7976931348623157e308)) return 0.0f;
  return limit > 0 && norm > limit ? static_cast<float>(limit / (norm + 1e-6)) : 1.0f;
}

// ---- gelu, by the error function ----

// a/2 (1 + erf(a / sqrt 2)), without cancellation where a is far below 0.
MNEME_HOST_DEVICE float gelu(float a) {
  return 0.5f * a * erfcf(-0.70710678118654752f * a);
}
MNEME_HOST_DEVICE float gelu_slope(float a) {
  constexpr float kDensity = 0.39894228040143268f;  // 1 / sqrt(2 pi)
  return fused_multiply_add(a * kDensity, expf(-0.5f * a * a),
                            0.5f * erfcf(-0.70710678118654752f * a));
}

// ---- AdamW ----

// What all elements of one AdamW step share, worked out in double.
struct AdamWScalars {
  float beta1 = 0, beta2 = 0;
  float one_minus_beta1 = 0, one_minus_beta2 = 0;
  float decay = 1;                // 1 - learning_rate * weight_decay
  float step_size = 0;            // learning_rate / (1 - beta1^step)
  float inverse_correction2 = 0;  // 1 / (1 - beta2^step)
  float epsilon = 0;
};

struct AdamWSettings {
  std::uint64_t step = 0;
  double learning_rate = 0, beta1 = 0, beta2 = 0, epsilon = 0, weight_decay = 0;
};

// REQUIRES settings.step >= 1.
inline AdamWScalars adamw_scalars(const AdamWSettings& settings) {
  const auto t = static_cast<double>(settings.step);
  const double b1 = settings.beta1, b2 = settings.beta2, rate = settings.learning_rate;
  AdamWScalars scalars;
  scalars.beta1 = static_cast<float>(b1);
  scalars.beta2 = static_cast<float>(b2);
  scalars.one_minus_beta1 = static_cast<float>(1.0 - b1);
  scalars.one_minus_beta2 = static_cast<float>(1.0 - b2);
  scalars.decay = static_cast<float>(1.0 - rate * settings.weight_decay);
  scalars.step_size = static_cast<float>(rate / (1.0 - std::pow(b1, t)));
  scalars.inverse_correction2 = static_cast<float>(1.0 / (1.0 - std::pow(b2, t)));
  scalars.epsilon = static_cast<float>(settings.epsilon);
  return scalars;
}

// One element's step: moments, decay and update, in place.
MNEME_HOST_DEVICE void adamw_element(const AdamWScalars& scalars, float gradient, float& value,
                                     float& moment1, float& moment2) {
  moment1 = fused_multiply_add(scalars.beta1, moment1, scalars.one_minus_beta1 * gradient);
  moment2 =
      fused_multiply_add(scalars.beta2, moment2, scalars.one_minus_beta2 * gradient * gradient);
  const float root = __builtin_sqrtf(moment2 * scalars.inverse_correction2);
  const float update = scalars.step_size * moment1 / (root + scalars.epsilon);
  value = fused_multiply_add(value, scalars.decay, -update);
}

}  // namespace mneme::kernels
