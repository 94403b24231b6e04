// Group and scan, written once over a Thrust execution policy: thrust::tbb::par on the CPU
// (kernels/cpu/thrust_policy.h), thrust::cuda::par_nosync on the GPU
// (kernels/cuda/thrust_policy.h). Include the policy first. Nothing here hands a value back to the
// host, so that a GPU only queues it. Integers only, so that no result depends on the number of
// threads. Sorting is each backend's own (radix_sort.h).
#pragma once

#include <thrust/for_each.h>
#include <thrust/functional.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/scan.h>
#include <thrust/sequence.h>
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

// Puts the rows of the word that rows[i] lies in into a set of marks, where i is the first of them.
struct MarkWord {
  std::uint32_t* words;
  const RowId* rows;
  std::int64_t count;
  std::uint8_t* is_new;
  MNEME_HOST_DEVICE void operator()(std::int64_t i) const {
    const RowId word = rows[i] / 32;
    if (i > 0 && rows[i - 1] / 32 == word) return;
    std::uint32_t bits = words[word];
    for (; i < count && rows[i] / 32 == word; ++i) {
      const std::uint32_t bit = std::uint32_t{1} << rows[i] % 32;
      is_new[i] = (bits & bit) == 0 ? 1 : 0;
      bits |= bit;
    }
    words[word] = bits;
  }
};

struct BitsOfWord {
  const std::uint32_t* words;
  MNEME_HOST_DEVICE std::uint32_t operator()(std::int64_t word) const {
    return bit_count(words[word]);
  }
};

// Writes the rows that are marked in a word.
struct ListWord {
  const std::uint32_t* words;
  const std::uint32_t* ends;  // the number of marks up to and with a word
  std::int64_t count;
  RowId* rows;
  std::uint64_t* number;
  MNEME_HOST_DEVICE void operator()(std::int64_t word) const {
    std::uint32_t bits = words[word], at = ends[word] - bit_count(bits);
    for (std::uint32_t row = static_cast<std::uint32_t>(word) * 32; bits != 0; ++row, bits >>= 1) {
      if ((bits & 1) != 0) rows[at++] = row;
    }
    if (word == count - 1) *number = ends[word];
  }
};

}  // namespace internal

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

// RowOps::mark_rows.
template <typename Policy>
void mark_rows(const Policy& policy, const RowMarks& marks, const RowId* rows, std::int64_t count,
               std::uint8_t* is_new) {
  const thrust::counting_iterator<std::int64_t> begin(0);
  thrust::for_each(policy, begin, begin + count,
                   internal::MarkWord{marks.words, rows, count, is_new});
}

// RowOps::list_marked_rows. ends: [marks.word_count()], scratch. REQUIRES at least one row.
template <typename Policy>
void list_marked_rows(const Policy& policy, const RowMarks& marks, RowId* rows,
                      std::uint64_t* number, std::uint32_t* ends) {
  const thrust::counting_iterator<std::int64_t> begin(0);
  const std::int64_t count = marks.word_count();
  thrust::transform_inclusive_scan(policy, begin, begin + count, ends,
                                   internal::BitsOfWord{marks.words},
                                   thrust::plus<std::uint32_t>());
  thrust::for_each(policy, begin, begin + count,
                   internal::ListWord{marks.words, ends, count, rows, number});
}

}  // namespace mneme::kernels::algorithms
