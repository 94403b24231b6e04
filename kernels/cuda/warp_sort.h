// Sorting in the registers of one warp by bitonic networks: no shared memory, no barrier. Each lane
// holds kEach of the elements: element r * 32 + lane is x[r]. All lanes of the warp call together.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/device_math.h"
#include "kernels/cuda/warp_lane.h"

namespace mneme::kernels::cuda {

__device__ __forceinline__ float smaller_or_larger(float a, float b, bool smaller) {
  return smaller ? fminf(a, b) : fmaxf(a, b);
}
__device__ __forceinline__ std::uint64_t smaller_or_larger(std::uint64_t a, std::uint64_t b,
                                                           bool smaller) {
  return (b < a) == smaller ? b : a;
}

// Compares elements that are `stride` < 32 apart: a lane with the one `stride` lanes away. Runs of
// `size` elements become ascending and descending in turn.
template <int kEach, typename T>
__device__ __forceinline__ void compare_lanes(T (&x)[kEach], int size, int stride) {
  const int lane = lane_of_warp();
#pragma unroll
  for (int r = 0; r < kEach; ++r) {
    const bool ascends = ((r * kWarp + lane) & size) == 0;
    const bool smaller = ((lane & stride) == 0) == ascends;
    x[r] = smaller_or_larger(x[r], __shfl_xor_sync(kAllLanes, x[r], stride), smaller);
  }
}

// The same for elements 32 * apart apart, which one lane holds.
template <int kEach, typename T>
__device__ __forceinline__ void compare_registers(T (&x)[kEach], int size, int apart) {
#pragma unroll
  for (int r = 0; r < kEach; ++r) {
    if ((r & apart) != 0) continue;
    const bool ascends = (r * kWarp & size) == 0;
    const T a = x[r], b = x[r ^ apart];
    x[r] = smaller_or_larger(a, b, ascends);
    x[r ^ apart] = smaller_or_larger(a, b, !ascends);
  }
}

// Sorts every run of `size` elements that is bitonic, such as an ascending half and a descending
// one. The runs become ascending and descending in turn.
template <int kEach, typename T>
__device__ __forceinline__ void merge_runs(T (&x)[kEach], int size) {
#pragma unroll
  for (int apart = kEach / 2; apart > 0; apart /= 2) {
    if (apart * kWarp * 2 <= size) compare_registers(x, size, apart);
  }
#pragma unroll
  for (int stride = kWarp / 2; stride > 0; stride /= 2) {
    if (stride * 2 <= size) compare_lanes(x, size, stride);
  }
}

// Sorts runs of kSize elements, ascending and descending in turn; kSize = 32 kEach sorts all.
template <int kSize, int kEach, typename T>
__device__ __forceinline__ void sort_runs(T (&x)[kEach]) {
  static_assert(kSize <= kWarp * kEach);
#pragma unroll
  for (int size = 2; size <= kSize; size *= 2) merge_runs(x, size);
}

// x: the lower half of x and y together. All three ascending.
template <int kEach, typename T>
__device__ __forceinline__ void take_lower_half(T (&x)[kEach], const T (&y)[kEach]) {
#pragma unroll
  for (int r = 0; r < kEach; ++r) {
    // From the end of y on, so that the smaller of each pair are the lower half, a bitonic run.
    const T reversed = __shfl_xor_sync(kAllLanes, y[kEach - 1 - r], kWarp - 1);
    x[r] = smaller_or_larger(x[r], reversed, true);
  }
  merge_runs(x, kWarp * kEach);
}

}  // namespace mneme::kernels::cuda
