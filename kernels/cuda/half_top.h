// The best few of one half's scores, found by one warp that reads the row once.
//
// The row comes in chunks of 1024. The scores are dealt out to 64 kRanks piles (each lane keeps the
// maxima of 2 kRanks); the 32 kRanks + 1 best of the piles' maxima are scores of that many
// different keys, so the least of them is a lower bound of what the result holds, and few scores
// reach it: 46 on average of a row of random scores when kRanks is 1. Those are listed in shared
// memory and sorted. Where the list fills up, because scores tie or ascend, it is cut to its best
// and the bound rises; ties are taken in ascending index, so later scores must exceed the bound.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/warp_sort.h"

namespace mneme::kernels::cuda {

inline constexpr unsigned kChunk = 1024;      // scores of a row that a warp has in registers
inline constexpr int kEach = kChunk / kWarp;  // of one lane
inline constexpr float kLowest = -__builtin_huge_valf();

// A score and where it is from, as one number: the better, the smaller; ties by lower place. Zeros
// of both signs are equal.
using RankKey = std::uint64_t;
inline constexpr RankKey kWorstKey = ~RankKey{0};

__device__ __forceinline__ std::uint32_t descending_bits(float x) {
  const std::uint32_t bits = __float_as_uint(x + 0.0f);
  return (bits & 0x80000000u) != 0 ? bits : ~bits & 0x7fffffffu;
}
__device__ __forceinline__ RankKey rank_key(float score, std::uint32_t place) {
  return RankKey{descending_bits(score)} << 32 | place;
}
__device__ __forceinline__ float score_of(RankKey key) {
  const auto bits = static_cast<std::uint32_t>(key >> 32);
  return __uint_as_float((bits & 0x80000000u) != 0 ? bits : ~bits & 0x7fffffffu);
}
__device__ __forceinline__ std::uint32_t place_of(RankKey key) {
  return static_cast<std::uint32_t>(key);
}

// Shared memory of one warp.
template <int kRanks>
struct SearchSpace {
  static constexpr int kTop = kWarp * (kRanks + 1);  // asked for are 32 kRanks + 1 at most
  static constexpr int kListed = 256 * kRanks;
  RankKey list[kListed];
  // The result for both halves, sorted: higher score first, ties by lower index.
  float scores[2][kTop];
  std::uint32_t indices[2][kTop];
};

// Which score of the chunk at `begin` is element i of this lane.
template <bool kVector>
__device__ __forceinline__ unsigned chunk_index(unsigned begin, unsigned i) {
  const auto lane = static_cast<unsigned>(lane_of_warp());
  return begin + (kVector ? i / 4 * 4 * kWarp + lane * 4 + i % 4 : i * kWarp + lane);
}

// -infinity beyond the row's end.
template <bool kVector>
__device__ __forceinline__ void load_chunk(const float* row, unsigned begin, unsigned count,
                                           float (&x)[kEach]) {
  const unsigned start = chunk_index<kVector>(begin, 0);
  const float* from = row + start;
  if constexpr (kVector) {
#pragma unroll
    for (int i = 0; i < kEach; i += 4) {
      float4 four = make_float4(kLowest, kLowest, kLowest, kLowest);
      if (start + i * kWarp < count) four = *reinterpret_cast<const float4*>(from + i * kWarp);
      x[i] = four.x, x[i + 1] = four.y, x[i + 2] = four.z, x[i + 3] = four.w;
    }
  } else {
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      x[i] = start + i * kWarp < count ? from[i * kWarp] : kLowest;
    }
  }
}

// The larger; NaN if any of the two is.
__device__ __forceinline__ float larger_or_nan(float a, float b) {
#if defined(__CUDA_ARCH__)
  float larger;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(larger) : "f"(a), "f"(b));
  return larger;
#else
  return a > b || a != a ? a : b;
#endif
}

// The least float above x; for x of infinity none that anything reaches.
__device__ __forceinline__ float next_above(float x) {
  const std::uint32_t bits = __float_as_uint(x);
  if (x == 0) return __uint_as_float(1);
  return __uint_as_float(x > 0 ? bits + 1 : bits - 1);
}

// The (32 kRanks + 1)-th best of the piles' maxima: of the two sorted halves the smaller of each
// pair, an ascending with a descending element, are the lower half of all.
template <int kRanks>
__device__ __forceinline__ float pile_bound(const float (&maxima)[2 * kRanks]) {
  float x[2 * kRanks];
#pragma unroll
  for (int p = 0; p < 2 * kRanks; ++p) x[p] = maxima[p];
  sort_runs<kWarp * kRanks>(x);
  float highest = kLowest;
#pragma unroll
  for (int r = 0; r < kRanks; ++r) highest = fmaxf(highest, fminf(x[r], x[r + kRanks]));
  return warp_max(highest);
}

// Bit i: element i of this lane reaches the limit.
__device__ __forceinline__ unsigned reaching(const float (&x)[kEach], float limit) {
  unsigned mask = 0;
#pragma unroll
  for (int i = 0; i < kEach; ++i) mask |= x[i] >= limit ? 1u << i : 0u;
  return mask;
}

// Bit i: element i of this lane lies within the row.
template <bool kVector>
__device__ __forceinline__ unsigned within(unsigned begin, unsigned count) {
  unsigned mask = 0;
#pragma unroll
  for (int i = 0; i < kEach; ++i) mask |= chunk_index<kVector>(begin, i) < count ? 1u << i : 0u;
  return mask;
}

// Moves the keys whose score reaches the bound to the front and returns how many they are.
__device__ __forceinline__ int filter_list(RankKey* list, int count, float bound) {
  const std::uint32_t worst = descending_bits(bound);
  int kept = 0;
  for (int begin = 0; begin < count; begin += kWarp) {
    const int at = begin + lane_of_warp();
    const RankKey key = at < count ? list[at] : kWorstKey;
    const bool keep = at < count && static_cast<std::uint32_t>(key >> 32) <= worst;
    const unsigned keepers = __ballot_sync(kAllLanes, keep);
    if (keep) list[kept + __popc(keepers & lanes_below())] = key;
    kept += __popc(keepers);
  }
  __syncwarp();
  return kept;
}

// best: the 64 kRanks best of list[0, count), ascending, kWorstKey where there are fewer.
template <int kRanks>
__device__ __forceinline__ void sort_best(const RankKey* list, int count,
                                          RankKey (&best)[2 * kRanks]) {
  constexpr int kPiece = 2 * kRanks * kWarp;
  for (int begin = 0; begin == 0 || begin < count; begin += kPiece) {
    RankKey piece[2 * kRanks];
#pragma unroll
    for (int r = 0; r < 2 * kRanks; ++r) {
      const int at = begin + r * kWarp + lane_of_warp();
      piece[r] = at < count ? list[at] : kWorstKey;
    }
    sort_runs<kPiece>(piece);
    if (begin == 0) {
#pragma unroll
      for (int r = 0; r < 2 * kRanks; ++r) best[r] = piece[r];
    } else {
      take_lower_half(best, piece);
    }
  }
}

// One warp's way through a row.
template <int kRanks>
struct RowScan {
  float maxima[2 * kRanks];  // of this lane's piles; NaN where a score was
  float bound = kLowest;     // no result is lower: that many keys so far reach it
  int listed = 0;            // in SearchSpace::list, all that reached the bound when they came
};

template <int kRanks>
__device__ __forceinline__ RowScan<kRanks> begin_row() {
  RowScan<kRanks> scan;
#pragma unroll
  for (int p = 0; p < 2 * kRanks; ++p) scan.maxima[p] = kLowest;
  return scan;
}

// Takes the chunk's maxima and returns which of this lane's scores to list.
template <int kRanks>
__device__ __forceinline__ unsigned choose(const float (&x)[kEach], unsigned begin, bool last,
                                           RowScan<kRanks>& scan) {
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    scan.maxima[i % (2 * kRanks)] = larger_or_nan(scan.maxima[i % (2 * kRanks)], x[i]);
  }
  const float before = scan.bound;
  // After 1, 2, 4, ... chunks: between them few scores reach the bound anyway.
  const unsigned chunk = begin / kChunk;
  if (last || (chunk & (chunk + 1)) == 0)
    scan.bound = fmaxf(before, pile_bound<kRanks>(scan.maxima));
  return reaching(x, begin == 0 || scan.bound > before ? scan.bound : next_above(before));
}

// Cuts the list to the `top` best, sorted, which are the result so far.
template <int kRanks>
__device__ __forceinline__ void cut_list(SearchSpace<kRanks>& space, int half, int top,
                                         RowScan<kRanks>& scan) {
  if (scan.listed > 2 * kRanks * kWarp) {
    scan.listed = filter_list(space.list, scan.listed, scan.bound);
  }
  RankKey best[2 * kRanks];
  sort_best<kRanks>(space.list, scan.listed, best);
  __syncwarp();
#pragma unroll
  for (int r = 0; r <= kRanks; ++r) {
    const int at = r * kWarp + lane_of_warp();
    space.list[at] = best[r];
    space.scores[half][at] = score_of(best[r]);
    space.indices[half][at] = place_of(best[r]);
  }
  __syncwarp();
  if (scan.listed < top) return;
  scan.listed = top;
  scan.bound = fmaxf(scan.bound, space.scores[half][top - 1]);
}

// Lists the chosen scores of the chunk at `begin`. After the last one the result is ready.
template <int kRanks, bool kVector>
__device__ __forceinline__ void list_chosen(const float* row, unsigned begin, bool last, int half,
                                            int top, unsigned chosen, SearchSpace<kRanks>& space,
                                            RowScan<kRanks>& scan) {
  constexpr int kListed = SearchSpace<kRanks>::kListed;
  for (bool fits = false; !fits;) {
    const int hits = __popc(chosen), room = kListed - scan.listed;
    fits = __reduce_add_sync(kAllLanes, static_cast<unsigned>(hits)) <= static_cast<unsigned>(room);
    const int taken = fits ? hits : min(hits, room / kWarp);
    int end = taken;  // where this lane's end, summed over the lanes up to it
#pragma unroll
    for (int offset = 1; offset < kWarp; offset *= 2) {
      const int below = __shfl_up_sync(kAllLanes, end, offset);
      if (lane_of_warp() >= offset) end += below;
    }
    RankKey* out = space.list + scan.listed + end - taken;
#pragma unroll 1
    for (int i = 0; i < taken; ++i, chosen &= chosen - 1) {
      out[i] =
          chunk_index<kVector>(begin, static_cast<unsigned>(__ffs(static_cast<int>(chosen)) - 1));
    }
    __syncwarp();
    const int before = scan.listed;
    scan.listed += __shfl_sync(kAllLanes, end, kWarp - 1);
    // The scores are read again, from the cache: registers cannot be chosen by number.
    for (int at = before + lane_of_warp(); at < scan.listed; at += kWarp) {
      const auto index = static_cast<std::uint32_t>(space.list[at]);
      space.list[at] = rank_key(row[index], index);
    }
    __syncwarp();
    if (!fits || last || scan.listed > kListed * 3 / 4) cut_list(space, half, top, scan);
  }
}

// Makes the best score of a row that has a NaN a NaN; then the rest of its result is undefined.
template <int kRanks>
__device__ __forceinline__ void mark_nan(const RowScan<kRanks>& scan, float* best) {
  bool nan = false;
#pragma unroll
  for (int p = 0; p < 2 * kRanks; ++p) nan |= scan.maxima[p] != scan.maxima[p];
  if (__any_sync(kAllLanes, nan) && lane_of_warp() == 0) *best = __uint_as_float(0x7fc00000u);
  __syncwarp();
}

}  // namespace mneme::kernels::cuda
