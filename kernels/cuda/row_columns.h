// How kernels read and write rows of a value table: 16 bytes of one row as they are stored, for
// sums over many rows, and four neighbouring columns as float32, for operations that rewrite a row
// with its moments.
//
// kWhole says that rows are made of whole vectors (or quads) at aligned addresses. Rows that are
// not go element by element through the same code: which thread owns which column, and with it the
// order of every sum, is the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/cuda/device_math.h"
#include "kernels/row_ops.h"

namespace mneme::kernels::cuda {

// Calls body with std::true_type or std::false_type. Host code.
template <typename Body>
void with_bool(bool flag, const Body& body) {
  if (flag) {
    body(std::true_type{});
  } else {
    body(std::false_type{});
  }
}

inline bool is_aligned(const void* p, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(p) % bytes == 0;
}

// Rounded up to a multiple of `unit`.
constexpr std::int64_t round_up(std::int64_t x, std::int64_t unit) {
  return (x + unit - 1) / unit * unit;
}

// Row `index` of an array whose rows are row_bytes long: one multiplication of 32 bits by 32.
template <typename T>
__device__ __forceinline__ T* row_at(T* base, std::uint32_t index, std::uint32_t row_bytes) {
  using Byte = std::conditional_t<std::is_const_v<T>, const char, char>;
  return reinterpret_cast<T*>(reinterpret_cast<Byte*>(base) + std::uint64_t{index} * row_bytes);
}

// ---- 16 bytes of one row ----

// Columns of one 16-byte access.
template <typename T>
inline constexpr int kVector = 16 / static_cast<int>(sizeof(T));

// What is read once by one thread has no place in the L1 cache. REQUIRES that no thread of the
// kernel writes it.
__device__ __forceinline__ uint4 load_once(const void* p) {
#if defined(MNEME_CUDA_EMULATED)
  return *static_cast<const uint4*>(p);
#else
  uint4 x;
  asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
      : "l"(p));
  return x;
#endif
}

__device__ __forceinline__ std::uint32_t vector_word(const float* p, int word, int columns) {
  return word < columns ? float_bits(p[word]) : 0;
}
__device__ __forceinline__ std::uint32_t vector_word(const Bf16* p, int word, int columns) {
  const std::uint32_t low = 2 * word < columns ? p[2 * word].bits : 0;
  const std::uint32_t high = 2 * word + 1 < columns ? p[2 * word + 1].bits : 0;
  return low | high << 16;
}

// The vector at p, of which `columns` >= 1 columns lie within the row; the others are 0.
template <bool kWhole, typename T>
__device__ __forceinline__ uint4 load_vector(const T* p, int columns) {
  if constexpr (kWhole) return load_once(p);
  return make_uint4(vector_word(p, 0, columns), vector_word(p, 1, columns),
                    vector_word(p, 2, columns), vector_word(p, 3, columns));
}

__device__ __forceinline__ void expand_vector(const uint4& raw, float (&x)[4]) {
  x[0] = bits_float(raw.x), x[1] = bits_float(raw.y);
  x[2] = bits_float(raw.z), x[3] = bits_float(raw.w);
}
__device__ __forceinline__ void expand_vector(const uint4& raw, float (&x)[8]) {
  x[0] = low_bf16(raw.x), x[1] = high_bf16(raw.x), x[2] = low_bf16(raw.y);
  x[3] = high_bf16(raw.y), x[4] = low_bf16(raw.z), x[5] = high_bf16(raw.z);
  x[6] = low_bf16(raw.w), x[7] = high_bf16(raw.w);
}

// ---- four columns as float32 ----
//
// Of float32 a quad is one 16-byte access; neighbouring threads own neighbouring quads, so that a
// warp's access is 512 bytes without gaps. `columns` of them lie within the row, which may be none:
// they are left as they are.

inline constexpr int kQuad = 4;

template <bool kWhole>
__device__ __forceinline__ void load_quad(const float* p, std::int64_t columns, float (&x)[kQuad]) {
  if constexpr (kWhole) {
    if (columns <= 0) return;
    const float4 v = *reinterpret_cast<const float4*>(p);
    x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
  } else {
    for (int c = 0; c < kQuad; ++c) {
      if (c < columns) x[c] = p[c];
    }
  }
}

// The same of bf16.
template <bool kWhole>
__device__ __forceinline__ void load_quad(const Bf16* p, std::int64_t columns, float (&x)[kQuad]) {
  if constexpr (kWhole) {
    if (columns <= 0) return;
    const uint2 v = *reinterpret_cast<const uint2*>(p);
    x[0] = low_bf16(v.x), x[1] = high_bf16(v.x), x[2] = low_bf16(v.y), x[3] = high_bf16(v.y);
  } else {
    for (int c = 0; c < kQuad; ++c) {
      if (c < columns) x[c] = load(p + c);
    }
  }
}

// The same for rows that nobody reads again soon: first to leave the caches.
template <bool kWhole>
__device__ __forceinline__ void stream_quad(const float* p, std::int64_t columns,
                                            float (&x)[kQuad]) {
  if constexpr (kWhole) {
    if (columns <= 0) return;
    const float4 v = __ldcs(reinterpret_cast<const float4*>(p));
    x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
  } else {
    load_quad<false>(p, columns, x);
  }
}
template <bool kWhole>
__device__ __forceinline__ void stream_quad(const Bf16* p, std::int64_t columns,
                                            float (&x)[kQuad]) {
  if constexpr (kWhole) {
    if (columns <= 0) return;
    const uint2 v = __ldcs(reinterpret_cast<const uint2*>(p));
    x[0] = low_bf16(v.x), x[1] = high_bf16(v.x), x[2] = low_bf16(v.y), x[3] = high_bf16(v.y);
  } else {
    for (int c = 0; c < kQuad; ++c) {
      if (c < columns) x[c] = load(p + c);
    }
  }
}

template <bool kWhole>
__device__ __forceinline__ void store_quad(float* p, std::int64_t columns,
                                           const float (&x)[kQuad]) {
  if constexpr (kWhole) {
    if (columns > 0) __stcs(reinterpret_cast<float4*>(p), make_float4(x[0], x[1], x[2], x[3]));
  } else {
    for (int c = 0; c < kQuad; ++c) {
      if (c < columns) p[c] = x[c];
    }
  }
}
// The bits of four bf16.
template <bool kWhole>
__device__ __forceinline__ void store_quad(Bf16* p, std::int64_t columns,
                                           const std::uint16_t (&bits)[kQuad]) {
  if constexpr (kWhole) {
    if (columns <= 0) return;
    const auto pair = [](std::uint32_t low, std::uint32_t high) { return low | high << 16; };
    __stcs(reinterpret_cast<uint2*>(p), make_uint2(pair(bits[0], bits[1]), pair(bits[2], bits[3])));
  } else {
    for (int c = 0; c < kQuad; ++c) {
      if (c < columns) p[c].bits = bits[c];
    }
  }
}

// ---- blocks that rewrite rows ----
//
// A block works on a few rows, one after the other. Each thread owns kQuads quads of a tile of
// row_tile(threads) columns, blockDim.x quads apart; wide rows take several tiles.

inline constexpr int kQuads = 2;
inline constexpr int kMaxRowThreads = 256;
inline constexpr int kBlockRows = 16;  // at most

// A function of the width alone, as is the order of a sum over a row's columns.
constexpr int row_threads(std::int64_t width) {
  const std::int64_t threads = round_up((width + kQuads * kQuad - 1) / (kQuads * kQuad), kWarp);
  return static_cast<int>(threads < kMaxRowThreads ? threads : kMaxRowThreads);
}
// Few enough that every multiprocessor has several blocks.
constexpr int rows_per_block(std::int64_t rows, int most = kBlockRows) {
  const std::int64_t share = rows / 1024;
  return static_cast<int>(share < 1 ? 1 : share < most ? share : most);
}
__device__ __forceinline__ std::int64_t row_tile() {
  return std::int64_t{kQuads * kQuad} * blockDim.x;
}
// The thread's quad k of a tile that starts at column `tile`.
__device__ __forceinline__ std::int64_t quad_column(std::int64_t tile, int k) {
  return tile + (std::int64_t{k} * blockDim.x + threadIdx.x) * kQuad;
}

// The thread's columns of a tile.
using Quads = float[kQuads][kQuad];

// Which columns of a row's range the threads of a block own, where a thread works on each column
// for itself. Random numbers come in blocks of 128 columns: tiles begin at such a block, `lead`
// columns in front of the range. A parameter of kernels.
struct RowSpan {
  std::int64_t width;           // of the range
  std::uint32_t lead;           // random columns of the first tile in front of it
  std::uint32_t random_column;  // where the first tile begins

  __device__ __forceinline__ std::int64_t end() const { return width + lead; }  // of the tiles
  __device__ __forceinline__ std::int64_t column(std::int64_t tile, int k) const {
    return quad_column(tile, k) - lead;
  }
  // Of the quad at `column`, within the range.
  __device__ __forceinline__ std::int64_t columns(std::int64_t column) const {
    return column < 0 ? 0 : width - column;
  }
  // The first random column of the quad.
  __device__ __forceinline__ std::int64_t random(std::int64_t tile, int k) const {
    return random_column + quad_column(tile, k);
  }
};
inline constexpr std::uint32_t kRandomBlock = 128;
inline RowSpan row_span(const ArenaPart& part) {
  const std::uint32_t lead = part.random_column % kRandomBlock;
  return {part.width(), lead, part.random_column - lead};
}
// Whether its rows are made of whole quads at aligned addresses.
inline bool has_whole_quads(const ArenaPart& part) {
  return part.width() % kQuad == 0 && is_aligned(part.arrays.values, 16) &&
         is_aligned(part.arrays.moment1, 16) && is_aligned(part.arrays.moment2, 16);
}
inline int span_threads(const RowSpan& span) {
  return row_threads(span.width + span.lead);
}

// They are 0 beyond the range.
template <bool kWhole, typename T>
__device__ __forceinline__ void stream_quads(const T* row, std::int64_t tile, const RowSpan& span,
                                             Quads& x) {
#pragma unroll
  for (int k = 0; k < kQuads; ++k) {
    for (int c = 0; c < kQuad; ++c) x[k][c] = 0;
    const std::int64_t column = span.column(tile, k);
    stream_quad<kWhole>(row + column, span.columns(column), x[k]);
  }
}

}  // namespace mneme::kernels::cuda
