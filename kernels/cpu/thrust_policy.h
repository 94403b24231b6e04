// Thrust's algorithms on the threads of the calling stream: its TBB system runs in the current
// task arena.
#pragma once

#include <thrust/copy.h>
#include <thrust/system/tbb/execution_policy.h>

#include "kernels/algorithms.h"

namespace mneme::kernels::cpu {
inline constexpr auto& kPolicy = thrust::tbb::par;

// Writes the indices i < count for which keep(i) holds, ascending, and returns how many.
template <typename Keep>
std::int64_t select_indices(std::int64_t count, std::uint32_t* out, const Keep& keep) {
  const thrust::counting_iterator<std::uint32_t> begin(0);
  return thrust::copy_if(kPolicy, begin, begin + count, out, keep) - out;
}

}  // namespace mneme::kernels::cpu
