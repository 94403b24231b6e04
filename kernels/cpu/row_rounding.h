// Stochastic rounding of stored rows: random bits that are a pure function of (seed, step, row,
// column, which array), and blocks of columns of either element type.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/row_math.h"

namespace mneme::kernels::cpu {

inline constexpr std::int64_t kColumnBlock = 64;

// Which of a row's arrays random bits are for.
enum class RoundingStream : std::uint32_t { kValue = 0x76616c75, kMoments = 0x6d6f6d65 };

// 32 random bits for each column of block `block`. Four columns 16 apart share one call of the
// generator, so that its rounds run on whole vectors.
MNEME_INLINE void rounding_bits(std::uint64_t seed, std::uint32_t step, RowId row,
                                std::int64_t block, RoundingStream stream,
                                std::uint32_t (&bits)[kColumnBlock]) {
  const auto key0 = static_cast<std::uint32_t>(seed);
  const auto key1 = static_cast<std::uint32_t>(seed >> 32);
#pragma omp simd
  for (std::int64_t i = 0; i < kLanes; ++i) {
    const auto counter = static_cast<std::uint32_t>(block * kLanes + i);
    const PhiloxBlock random =
        philox4x32_10({{counter, row, step, static_cast<std::uint32_t>(stream)}}, key0, key1);
    bits[i] = random.v[0];
    bits[kLanes + i] = random.v[1];
    bits[2 * kLanes + i] = random.v[2];
    bits[3 * kLanes + i] = random.v[3];
  }
}

// Calls body(column, count, block, offset) for the columns of a part, in pieces that lie within one
// block of random numbers: column + i has those of column offset + i of the block. first: the
// random column of the part's first.
template <typename Body>
MNEME_INLINE void for_each_block(std::uint32_t first, std::int64_t width, const Body& body) {
  std::int64_t block = first / kColumnBlock, offset = first % kColumnBlock;
  for (std::int64_t column = 0; column < width; ++block, offset = 0) {
    const std::int64_t count = std::min(kColumnBlock - offset, width - column);
    body(column, count, block, offset);
    column += count;
  }
}

// count <= kColumnBlock columns to and from float32. The low half of `bits` rounds for shift 0, the
// high half for shift 16; float32 needs none.
MNEME_INLINE void load_columns(const float* p, std::int64_t count, float* out) {
  for (std::int64_t c = 0; c < count; ++c) out[c] = p[c];
}
MNEME_INLINE void load_columns(const Bf16* p, std::int64_t count, float* out) {
  for (std::int64_t c = 0; c < count; ++c) out[c] = bf16_to_float(p[c].bits);
}
MNEME_INLINE void store_columns(float* p, std::int64_t count, const float* x, const std::uint32_t*,
                                int) {
  for (std::int64_t c = 0; c < count; ++c) p[c] = x[c];
}
MNEME_INLINE void store_columns(Bf16* p, std::int64_t count, const float* x,
                                const std::uint32_t* bits, int shift) {
  for (std::int64_t c = 0; c < count; ++c) {
    p[c].bits = float_to_bf16_stochastic(x[c], bits[c] >> shift);
  }
}

}  // namespace mneme::kernels::cpu
