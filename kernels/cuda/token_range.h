// A token's lookups in shared memory, and which of them fall into a chunk of the step's distinct
// rows. What leads to a row (lookup, distinct row, slot) is three reads that wait for each other:
// all of a token's lookups take that way at once, before its rows are read.
#pragma once

#include <cstdint>

#include "kernels/cuda/device_math.h"
#include "kernels/row_ops.h"

namespace mneme::kernels::cuda {

// A parameter of kernels: the lookups in the order of grouped.token_order, and the chunk.
struct TokenLookups {
  const std::uint32_t* token_order;
  const std::uint32_t* unique_index;
  const SlotId* slots;
  const float* weights;  // null: lookup indices are staged in their place
  std::int64_t lookups_per_token;
  std::int64_t first, count;
};

inline TokenLookups token_lookups(const GroupedLookups& grouped, const SlotId* slots,
                                  const float* weights, std::int64_t first, std::int64_t count) {
  return {grouped.token_order,
          grouped.unique_index,
          slots,
          weights,
          grouped.lookups_per_token,
          first,
          count};
}

struct __align__(8) StagedLookup {
  SlotId slot;
  std::uint32_t word;  // the bits of the weight, or the lookup index
};

// Stand in for the slots of lookups before and behind the chunk; no arena has so many slots.
inline constexpr SlotId kBeforeChunk = 0xfffffffeu, kBehindChunk = 0xffffffffu;

// Lookups start .. start + n - 1 of a token, by threads `lane` of `lanes`. Between barriers.
__device__ __forceinline__ void stage_lookups(const TokenLookups& lookups, std::int64_t token,
                                              std::int64_t start, int n, int lane, int lanes,
                                              StagedLookup* staged) {
  const std::uint32_t* order = lookups.token_order + token * lookups.lookups_per_token + start;
  for (int i = lane; i < n; i += lanes) {
    const std::uint32_t lookup = order[i];
    const std::int64_t index = std::int64_t{lookups.unique_index[lookup]} - lookups.first;
    const std::uint32_t word =
        lookups.weights != nullptr ? float_bits(lookups.weights[lookup]) : lookup;
    const SlotId slot = index < 0                ? kBeforeChunk
                        : index >= lookups.count ? kBehindChunk
                                                 : lookups.slots[index];
    staged[i] = {slot, word};
  }
}

struct StagedRange {
  int begin, end;
};

// How many of n staged lookups are before the chunk, or not behind it: they are sorted by distinct
// row.
__device__ __forceinline__ int staged_before(const StagedLookup* staged, int n, bool with_chunk) {
  int low = 0, high = n;
  while (low < high) {
    const int middle = (low + high) / 2;
    const SlotId slot = staged[middle].slot;
    if (slot == kBeforeChunk || (with_chunk && slot != kBehindChunk)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// Which of n >= 1 staged lookups are in the chunk: mostly all of them.
__device__ __forceinline__ StagedRange range_in_chunk(const StagedLookup* staged, int n) {
  if (staged[0].slot < kBeforeChunk && staged[n - 1].slot < kBeforeChunk) return {0, n};
  return {staged_before(staged, n, false), staged_before(staged, n, true)};
}

}  // namespace mneme::kernels::cuda
