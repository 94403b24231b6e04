// Sort, group and scan, written once over a Thrust execution policy: thrust::tbb::par on the CPU
// (kernels/cpu/thrust_policy.h), thrust::cuda::par_nosync on the GPU
// (kernels/cuda/thrust_policy.h). Include the policy first. Nothing here hands a value back to the
// host, so that a GPU only queues it. Integers only, so that no result depends on the number of
// threads.
#pragma once

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
  std::uint64_t* runs;  // how many there are
  MNEME_HOST_DEVICE void operator()(std::int64_t i) const {
    const std::uint32_t index = run[i] - 1;
    if (i == 0 || keys[i] != keys[i - 1]) {
      unique_rows[index] = keys[i];
      offsets[index] = static_cast<std::uint32_t>(i);
    }
    if (i == count - 1) {
      offsets[index + 1] = static_cast<std::uint32_t>(count);
      *runs = run[i];
    }
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

// values[i] becomes the sum of values[0] .. values[i].
template <typename Policy, typename Count>
void running_sums(const Policy& policy, Count* values, std::int64_t count) {
  thrust::inclusive_scan(policy, values, values + count, values, thrust::plus<Count>());
}

// out[i] becomes the sum of value(0) .. value(i): numbers from 0 to 2^64 - 1.
template <typename Policy, typename Value>
void running_sums_of(const Policy& policy, const Value& value, std::uint64_t* out,
                     std::int64_t count) {
  const thrust::counting_iterator<std::int64_t> begin(0);
  thrust::transform_inclusive_scan(policy, begin, begin + count, out, value,
                                   thrust::plus<std::uint64_t>());
}

// Fills unique_rows, offsets, unique_index and count of `grouped`, whose order is given, from the
// sorted rows. run: [lookups], scratch. REQUIRES lookups >= 1.
template <typename Policy>
void group_sorted(const Policy& policy, const GroupedLookups& grouped, const RowId* sorted_rows,
                  std::uint32_t* run) {
  const thrust::counting_iterator<std::int64_t> begin(0);
  const auto end = begin + grouped.lookups;
  thrust::transform_inclusive_scan(policy, begin, end, run, internal::RunStart{sorted_rows},
                                   thrust::plus<std::uint32_t>());
  thrust::for_each(
      policy, begin, end,
      internal::WriteGroup{sorted_rows, run, grouped.order, grouped.unique_rows, grouped.offsets,
                           grouped.unique_index, grouped.lookups, grouped.count});
}

}  // namespace mneme::kernels::algorithms
