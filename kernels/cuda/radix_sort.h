// Stable sorts of integer keys with a value each, by the bits that differ: a pass over keys and
// values for every eight of them.
//
// CUB gives them; the emulator has Thrust's TBB system in its place, which looks at the same bits.
#pragma once

#if defined(MNEME_CUDA_EMULATED)
#include <thrust/sort.h>
#include <thrust/system/tbb/execution_policy.h>
#else
#include <cub/device/device_radix_sort.cuh>
#endif

#include <algorithm>
#include <bit>
#include <cstdint>

#include "io/check.h"
#include "kernels/cuda/operation.h"
#include "kernels/cuda/thrust_policy.h"

namespace mneme::kernels::cuda {

// Device memory; none of the arrays may overlap.
template <typename Key>
struct SortPairs {
  const Key* keys = nullptr;               // [count]
  Key* sorted_keys = nullptr;              // [count]
  const std::uint32_t* values = nullptr;   // [count]
  std::uint32_t* sorted_values = nullptr;  // [count]
  std::int64_t count = 0;
  Key most = 0;  // no key is larger
};

// The lowest bits of a key that may be set; one at the least.
constexpr int sorted_bits(std::uint64_t most) {
  return std::max(1, static_cast<int>(std::bit_width(most)));
}

#if defined(MNEME_CUDA_EMULATED)

namespace internal {

template <typename Key>
struct LessInBits {
  Key mask;
  bool operator()(Key a, Key b) const { return (a & mask) < (b & mask); }
};

}  // namespace internal

template <typename Key>
void sort_pairs(Operation& operation, const SortPairs<Key>& sort) {
  if (sort.count == 0) return;
  const int bits = sorted_bits(sort.most);
  const internal::LessInBits<Key> less{static_cast<Key>(~std::uint64_t{0} >> (64 - bits))};
  with_policy(
      operation,
      [](const auto& policy, const SortPairs<Key>& pairs, const auto& by) {
        std::copy_n(pairs.keys, pairs.count, pairs.sorted_keys);
        std::copy_n(pairs.values, pairs.count, pairs.sorted_values);
        thrust::stable_sort_by_key(policy, pairs.sorted_keys, pairs.sorted_keys + pairs.count,
                                   pairs.sorted_values, by);
      },
      sort, less);
}

#else

template <typename Key>
void sort_pairs(Operation& operation, const SortPairs<Key>& sort) {
  if (sort.count == 0) return;
  const int bits = sorted_bits(sort.most);
  std::size_t bytes = 0;
  const auto call = [&](void* scratch) {
    check_cuda(cub::DeviceRadixSort::SortPairs(scratch, bytes, sort.keys, sort.sorted_keys,
                                               sort.values, sort.sorted_values, sort.count, 0, bits,
                                               operation.stream().handle()),
               operation.name());
  };
  call(nullptr);  // says how much scratch memory it takes
  call(operation.take<char>(static_cast<std::int64_t>(bytes)));
}

#endif

}  // namespace mneme::kernels::cuda
