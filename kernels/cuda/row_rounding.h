// Stochastic rounding of stored rows: random bits that are a pure function of (seed, step, row,
// column, which array), the same as on the CPU.
//
// Column c of a row takes word c % 64 / 16 of the generator's block c / 64 * 16 + c % 16: one call
// of the generator serves four columns that lie 16 apart.
#pragma once

#include <cstdint>

#include "kernels/cuda/row_columns.h"

namespace mneme::kernels::cuda {

// Which of a row's arrays random bits are for.
enum class RoundingStream : std::uint32_t { kValue = 0x76616c75, kMoments = 0x6d6f6d65 };

// What random bits are drawn for, but for the column.
struct RoundingKey {
  std::uint64_t seed;
  std::uint32_t step;
  RowId row;
};

__device__ __forceinline__ PhiloxBlock rounding_block(const RoundingKey& key, RoundingStream stream,
                                                      std::uint32_t counter) {
  return philox4x32_10({{counter, key.row, key.step, static_cast<std::uint32_t>(stream)}},
                       static_cast<std::uint32_t>(key.seed),
                       static_cast<std::uint32_t>(key.seed >> 32));
}

// x[i] <- x[i - by], indices modulo 4, without indexing registers at run time.
__device__ __forceinline__ void rotate(std::uint32_t (&x)[4], std::uint32_t by) {
  const bool one = (by & 1u) != 0, two = (by & 2u) != 0;
  const std::uint32_t y[4] = {one ? x[3] : x[0], one ? x[0] : x[1], one ? x[1] : x[2],
                              one ? x[2] : x[3]};
  for (int i = 0; i < 4; ++i) x[i] = two ? y[(i + 2) % 4] : y[i];
}

// The random bits of the thread's quad. Every lane calls it: lane i of a warp has the i-th quad
// behind a column that is a multiple of 128, so 16 lanes have the 64 columns of 16 blocks. Each
// lane runs the generator once and sends its four words to the four lanes whose columns they are
// for.
__device__ __forceinline__ void rounding_quad(const RoundingKey& key, RoundingStream stream,
                                              std::int64_t column, std::uint32_t (&bits)[kQuad]) {
  const std::uint32_t lane = threadIdx.x % kWarp, own = lane % 16;
  const PhiloxBlock random =
      rounding_block(key, stream, static_cast<std::uint32_t>(column / 64 * 16) + own);
  // Lane `own` needs word own / 4 of lanes 4 (own % 4) + m for its column m. In round k it hears
  // from m = k + own / 4, and sends word own - k (all modulo 4): in every round each lane is heard
  // once.
  std::uint32_t words[4] = {random.v[0], random.v[3], random.v[2], random.v[1]};
  rotate(words, own % 4);
  for (std::uint32_t k = 0; k < 4; ++k) {
    const std::uint32_t source = (lane & 16u) + own % 4 * 4 + (k + own / 4) % 4;
    bits[k] = __shfl_sync(kAllLanes, words[k], static_cast<int>(source));
  }
  rotate(bits, own / 4);
}

// The same for one column, by one thread alone.
__device__ inline std::uint32_t rounding_bits(const RoundingKey& key, RoundingStream stream,
                                              std::int64_t column) {
  const auto counter = static_cast<std::uint32_t>(column / 64 * 16 + column % 16);
  const PhiloxBlock random = rounding_block(key, stream, counter);
  const std::int64_t word = column % 64 / 16;
  return word < 2 ? (word == 0 ? random.v[0] : random.v[1])
                  : (word == 2 ? random.v[2] : random.v[3]);
}

// ---- storing rounded numbers ----
//
// The low half of `bits` rounds for shift 0, the high half for shift 16; float32 needs none.

__device__ __forceinline__ void store_rounded(float* p, float x, std::uint32_t, int) {
  *p = x;
}
__device__ __forceinline__ void store_rounded(Bf16* p, float x, std::uint32_t bits, int shift) {
  p->bits = float_to_bf16_stochastic(x, bits >> shift);
}
template <bool kWhole>
__device__ __forceinline__ void store_rounded_quad(float* p, std::int64_t columns,
                                                   const float (&x)[kQuad],
                                                   const std::uint32_t (&)[kQuad], int) {
  store_quad<kWhole>(p, columns, x);
}
template <bool kWhole>
__device__ __forceinline__ void store_rounded_quad(Bf16* p, std::int64_t columns,
                                                   const float (&x)[kQuad],
                                                   const std::uint32_t (&bits)[kQuad], int shift) {
  std::uint16_t rounded[kQuad];
  for (int c = 0; c < kQuad; ++c) {
    rounded[c] = float_to_bf16_stochastic(x[c], bits[c] >> shift);
  }
  store_quad<kWhole>(p, columns, rounded);
}

}  // namespace mneme::kernels::cuda
