// The calling thread's place in its warp.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/device_math.h"

namespace mneme::kernels::cuda {

__device__ __forceinline__ int lane_of_warp() {
  return static_cast<int>(threadIdx.x) % kWarp;
}

// The lanes before this one, as a mask.
__device__ __forceinline__ unsigned lanes_below() {
  return (1u << lane_of_warp()) - 1;
}

// The pointer that `lane` passes. All lanes of the warp call together.
template <typename T>
__device__ __forceinline__ T* pointer_of_lane(T* pointer, int lane) {
  const auto address = reinterpret_cast<unsigned long long>(pointer);
  return reinterpret_cast<T*>(__shfl_sync(kAllLanes, address, lane));
}

}  // namespace mneme::kernels::cuda
