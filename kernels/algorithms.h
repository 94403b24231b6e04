// Sort, group, scan and select, written once over a Thrust execution policy: thrust::tbb::par on
// the CPU (kernels/cpu/thrust_policy.h), thrust::cuda::par on the GPU. Include the policy first.
// Integers only, so that no result depends on the number of threads.
#pragma once

#include <thrust/copy.h>
#include <thrust/for_each.h>
#include <thrust/functional.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/scan.h>
#include <thrust/sequence.h>
#include <thrust/sort.h>
#include <thrust/transform_scan.h>

#include <cstdint>

#include "kernels/row_ops.h"
#include "kernels/scalar.h"

namespace mneme::kernels::algorithms {

namespace internal {

// 1 where a run of equal keys starts.
struct RunStart {
  const RowId* keys;
  MNEME_HOST_DEVICE std::uint32_t operator()(std::int64_t i) const {
    return i == 0 || keys[i] != keys[i - 1] ? 1u : 0u;
  }
};

// Writes what the sorted position i says of its row and of its lookup.
struct WriteGroup {
  const RowId* keys;            // sorted rows
  const std::uint32_t* run;     // number of runs up to and with position i
  const std::uint32_t* order;   // sorted position -> lookup
  RowId* unique_rows;           // run -> row
  std::uint32_t* offsets;       // run -> first sorted position
  std::uint32_t* unique_index;  // lookup -> run
  std::int64_t count;
  MNEME_HOST_DEVICE void operator()(std::int64_t i) const {
    const std::uint32_t index = run[i] - 1;
    if (i == 0 || keys[i] != keys[i - 1]) {
      unique_rows[index] = keys[i];
      offsets[index] = static_cast<std::uint32_t>(i);
    }
    if (i == count - 1) offsets[index + 1] = static_cast<std::uint32_t>(count);
    unique_index[order[i]] = index;
  }
};

}  // namespace internal

// Stable ascending sort of keys, values along with them. Both: [count], in place.
template <typename Policy, typename Key, typename Value>
void sort_pairs(const Policy& policy, Key* keys, Value* values, std::int64_t count) {
  thrust::stable_sort_by_key(policy, keys, keys + count, values);
}

// out: the values 0, 1, 2, ...
template <typename Policy>
void count_up(const Policy& policy, std::uint32_t* out, std::int64_t count) {
  thrust::sequence(policy, out, out + count);
}

// Fills unique_rows, offsets and unique_index of `grouped`, whose order is given, from the sorted
// rows. run: [lookups], scratch; its last element becomes the number of distinct rows.
// REQUIRES lookups >= 1.
template <typename Policy>
void group_sorted(const Policy& policy, const GroupedLookups& grouped, const RowId* sorted_rows,
                  std::uint32_t* run) {
  const thrust::counting_iterator<std::int64_t> begin(0);
  const auto end = begin + grouped.lookups;
  thrust::transform_inclusive_scan(policy, begin, end, run, internal::RunStart{sorted_rows},
                                   thrust::plus<std::uint32_t>());
  thrust::for_each(policy, begin, end,
                   internal::WriteGroup{sorted_rows, run, grouped.order, grouped.unique_rows,
                                        grouped.offsets, grouped.unique_index, grouped.lookups});
}

// Writes the indices i < count for which keep(i) holds, ascending, and returns how many.
template <typename Policy, typename Keep>
std::int64_t select_indices(const Policy& policy, std::int64_t count, std::uint32_t* out,
                            const Keep& keep) {
  const thrust::counting_iterator<std::uint32_t> begin(0);
  return thrust::copy_if(policy, begin, begin + count, out, keep) - out;
}

// Calls body(i) for i < count, in any order.
template <typename Policy, typename Body>
void for_each_index(const Policy& policy, std::int64_t count, const Body& body) {
  thrust::for_each_n(policy, thrust::counting_iterator<std::int64_t>(0), count, body);
}

}  // namespace mneme::kernels::algorithms
