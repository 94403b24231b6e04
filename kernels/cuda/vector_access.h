// Groups of neighbouring elements as float32, read and written by accesses of up to 16 bytes where
// addresses allow it and element by element elsewhere. Which thread holds which column never
// depends on the alignment, so neither do the bits of a sum.
//
// Where float32 takes part, groups are of 4: a warp then writes whole 512-byte lines with each
// instruction. Groups of 8 are for bf16 alone.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/device_math.h"

namespace mneme::kernels::cuda {

// Elements in a group of arrays of type T.
template <typename T>
inline constexpr int kGroup = 4;
template <>
inline constexpr int kGroup<Bf16> = 8;

// Whether groups of N elements from p on, N at a time, may be accessed as vectors. Host code.
template <int N, typename T>
bool vector_aligned(const T* p) {
  return reinterpret_cast<std::uintptr_t>(p) % std::min<std::size_t>(16, N * sizeof(T)) == 0;
}
// The same of rows of `width` elements.
template <int N, typename T>
bool vector_aligned(const T* p, std::int64_t width) {
  return width % N == 0 && vector_aligned<N>(p);
}

__device__ __forceinline__ void load_vector(const float* p, float (&x)[4]) {
  const float4 a = *reinterpret_cast<const float4*>(p);
  x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w;
}
__device__ __forceinline__ void load_vector(const Bf16* p, float (&x)[4]) {
  const uint2 a = *reinterpret_cast<const uint2*>(p);
  x[0] = low_bf16(a.x), x[1] = high_bf16(a.x), x[2] = low_bf16(a.y), x[3] = high_bf16(a.y);
}
template <typename T>
__device__ __forceinline__ void load_vector(const T* p, float (&x)[8]) {
  load_columns(p, x);
}
__device__ __forceinline__ void store_vector(float* p, const float (&x)[4]) {
  *reinterpret_cast<float4*>(p) = make_float4(x[0], x[1], x[2], x[3]);
}
__device__ __forceinline__ void store_vector(Bf16* p, const float (&x)[4]) {
  *reinterpret_cast<uint2*>(p) = make_uint2(pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]));
}
template <typename T>
__device__ __forceinline__ void store_vector(T* p, const float (&x)[8]) {
  store_columns(p, x);
}

// The first `left` elements of a group at p, all of them if left is larger, one by one; the others
// become `rest`.
template <typename T, int N>
__device__ __forceinline__ void load_some(const T* p, std::int64_t left, float (&x)[N],
                                          float rest = 0.0f) {
#pragma unroll
  for (int i = 0; i < N; ++i) x[i] = i < left ? load(p + i) : rest;
}
template <typename T, int N>
__device__ __forceinline__ void store_some(T* p, std::int64_t left, const float (&x)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) {
    if (i < left) store(p + i, x[i]);
  }
}

// The same for U groups, `stride` elements apart, of an array that has `left` elements from p on.
// `vector`: groups are aligned. One branch for all of them, so that all loads are on their way
// before the first one is waited for.
template <typename T, int U, int N>
__device__ __forceinline__ void load_groups(const T* p, std::int64_t stride, std::int64_t left,
                                            bool vector, float (&x)[U][N], float rest = 0.0f) {
  if (vector && (U - 1) * stride + N <= left) {
#pragma unroll
    for (int u = 0; u < U; ++u) load_vector(p + u * stride, x[u]);
  } else {
#pragma unroll
    for (int u = 0; u < U; ++u) load_some(p + u * stride, left - u * stride, x[u], rest);
  }
}
template <typename T, int U, int N>
__device__ __forceinline__ void store_groups(T* p, std::int64_t stride, std::int64_t left,
                                             bool vector, const float (&x)[U][N]) {
  if (vector && (U - 1) * stride + N <= left) {
#pragma unroll
    for (int u = 0; u < U; ++u) store_vector(p + u * stride, x[u]);
  } else {
#pragma unroll
    for (int u = 0; u < U; ++u) store_some(p + u * stride, left - u * stride, x[u]);
  }
}

// The same for U groups of a row that has `left` elements from p on. `vector`: groups are aligned
// and the row is a whole number of them, so that each is inside or outside.
template <typename T, int U, int N>
__device__ __forceinline__ void load_row_groups(const T* p, std::int64_t stride, std::int64_t left,
                                                bool vector, float (&x)[U][N], float rest = 0.0f) {
  if (vector) {
#pragma unroll
    for (int u = 0; u < U; ++u) {
#pragma unroll
      for (int i = 0; i < N; ++i) x[u][i] = rest;
      if (u * stride < left) load_vector(p + u * stride, x[u]);
    }
  } else {
#pragma unroll
    for (int u = 0; u < U; ++u) load_some(p + u * stride, left - u * stride, x[u], rest);
  }
}
template <typename T, int U, int N>
__device__ __forceinline__ void store_row_groups(T* p, std::int64_t stride, std::int64_t left,
                                                 bool vector, const float (&x)[U][N]) {
  if (vector) {
#pragma unroll
    for (int u = 0; u < U; ++u) {
      if (u * stride < left) store_vector(p + u * stride, x[u]);
    }
  } else {
#pragma unroll
    for (int u = 0; u < U; ++u) store_some(p + u * stride, left - u * stride, x[u]);
  }
}

}  // namespace mneme::kernels::cuda
