// What kernels share: loads and stores of both float types, vector loads and stores, and sums over
// warps and blocks in a fixed order.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/float_type.h"
#include "kernels/scalar.h"

namespace mneme::kernels::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

__device__ __forceinline__ float load(const float* p) {
  return *p;
}
__device__ __forceinline__ float load(const Bf16* p) {
  return bf16_to_float(p->bits);
}
__device__ __forceinline__ void store(float* p, float x) {
  *p = x;
}
__device__ __forceinline__ void store(Bf16* p, float x) {
  p->bits = float_to_bf16(x);
}

// Two bf16 in one word, `low` at the lower address. Rounds to nearest even.
__device__ __forceinline__ std::uint32_t pack_bf16(float low, float high) {
#if defined(__CUDA_ARCH__)
  std::uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
#else
  return static_cast<std::uint32_t>(float_to_bf16(low)) |
         static_cast<std::uint32_t>(float_to_bf16(high)) << 16;
#endif
}
__device__ __forceinline__ float low_bf16(std::uint32_t packed) {
  return bits_float(packed << 16);
}
__device__ __forceinline__ float high_bf16(std::uint32_t packed) {
  return bits_float(packed & 0xffff0000u);
}

// Eight neighbouring columns as float32, by 16-byte accesses. REQUIRES p aligned to 16 bytes.
inline constexpr int kColumns = 8;
__device__ __forceinline__ void load_columns(const float* p, float (&x)[kColumns]) {
  const float4 a = reinterpret_cast<const float4*>(p)[0];
  const float4 b = reinterpret_cast<const float4*>(p)[1];
  x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w;
  x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
}
__device__ __forceinline__ void load_columns(const Bf16* p, float (&x)[kColumns]) {
  const uint4 a = *reinterpret_cast<const uint4*>(p);
  x[0] = low_bf16(a.x), x[1] = high_bf16(a.x), x[2] = low_bf16(a.y), x[3] = high_bf16(a.y);
  x[4] = low_bf16(a.z), x[5] = high_bf16(a.z), x[6] = low_bf16(a.w), x[7] = high_bf16(a.w);
}
__device__ __forceinline__ void store_columns(float* p, const float (&x)[kColumns]) {
  reinterpret_cast<float4*>(p)[0] = make_float4(x[0], x[1], x[2], x[3]);
  reinterpret_cast<float4*>(p)[1] = make_float4(x[4], x[5], x[6], x[7]);
}
__device__ __forceinline__ void store_columns(Bf16* p, const float (&x)[kColumns]) {
  *reinterpret_cast<uint4*>(p) = make_uint4(pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]),
                                            pack_bf16(x[4], x[5]), pack_bf16(x[6], x[7]));
}

// Sum and maximum over the lanes of a warp, in the order of a binary tree; every lane gets it.
template <typename T>
__device__ __forceinline__ T warp_sum(T x) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    x += __shfl_xor_sync(kAllLanes, x, offset);
  }
  return x;
}
__device__ __forceinline__ float warp_max(float x) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, offset));
  }
  return x;
}

// The same over a block of whole warps; every thread calls it and gets it. shared: [33].
template <typename T>
__device__ __forceinline__ T block_sum(T x, T* shared) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp,
            warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  x = warp_sum(x);
  if (lane == 0) shared[warp] = x;
  __syncthreads();
  if (warp == 0) {
    x = warp_sum(lane < warps ? shared[lane] : T{});
    if (lane == 0) shared[kWarp] = x;
  }
  __syncthreads();
  x = shared[kWarp];
  __syncthreads();
  return x;
}

// The block's dynamic shared memory.
template <typename T>
__device__ __forceinline__ T* dynamic_shared() {
#if defined(MNEME_CUDA_EMULATED)
  return static_cast<T*>(emulator::dynamic_shared());
#else
  extern __shared__ __align__(1024) unsigned char mneme_dynamic_shared[];
  return reinterpret_cast<T*>(mneme_dynamic_shared);
#endif
}

}  // namespace mneme::kernels::cuda
