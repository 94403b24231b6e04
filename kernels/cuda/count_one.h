// Counters in device memory that many threads raise. Sums of integers do not depend on their order.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace mneme::kernels::cuda {

__device__ __forceinline__ void count_one(std::uint64_t* counter) {
  static_assert(sizeof(unsigned long long) == sizeof(std::uint64_t));
  atomicAdd(reinterpret_cast<unsigned long long*>(counter), 1ull);
}

}  // namespace mneme::kernels::cuda
