// Picking some indices of a range and handing them out in ascending order, with their rank among
// the picked ones: a stream compaction that keeps no memory for each index. A warp goes over a tile
// of neighbouring indices twice: it counts, the tiles' counts are summed up, it hands out.
//
// Choose is what decides:
//   void load();                               // reads from device memory what it needs, once
//   int operator()(std::int64_t i);            // the class of the index, or kNone
// Classes are 0 .. kClasses - 1, each with ranks of its own.
// Take is what gets the picked ones:
//   void load();
//   void operator()(std::int64_t i, int chosen, std::uint32_t rank);
// chosen being the class and rank counting from 0 in it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/device_math.h"
#include "kernels/cuda/operation.h"
#include "kernels/cuda/thrust_policy.h"
#include "kernels/scalar.h"

namespace mneme::kernels::cuda {

inline constexpr int kNone = -1;  // not picked

template <int kClasses>
struct ClassCounts {
  std::uint32_t of[kClasses];

  MNEME_HOST_DEVICE ClassCounts operator+(const ClassCounts& other) const {
    ClassCounts sum{};
    for (int c = 0; c < kClasses; ++c) sum.of[c] = of[c] + other.of[c];
    return sum;
  }
};
template <typename Choose>
using CountsOf = ClassCounts<Choose::kClasses>;

namespace internal {

inline constexpr int kTileThreads = 256;
inline constexpr std::int64_t kTileIndices = 1024;  // of one warp
inline constexpr int kTileUnroll = 4;               // indices of a lane whose loads are in flight

// The first index of the warp's tile.
__device__ __forceinline__ std::int64_t tile_start() {
  return (std::int64_t{blockIdx.x} * kTileThreads + threadIdx.x) / kWarp * kTileIndices;
}

// chosen[u]: what Choose says of index start + u * kWarp + lane.
template <typename Choose>
__device__ __forceinline__ void choose_some(const Choose& choose, std::int64_t start,
                                            std::int64_t count, int (&chosen)[kTileUnroll]) {
#pragma unroll
  for (int u = 0; u < kTileUnroll; ++u) {
    const std::int64_t i = start + u * kWarp + threadIdx.x % kWarp;
    // Beyond the end it asks again of the last one, so that no load waits for a branch.
    const int what = choose(i < count ? i : count - 1);
    chosen[u] = i < count ? what : kNone;
  }
}

template <typename Choose>
__global__ void __launch_bounds__(kTileThreads)
    count_tiles_kernel(Choose choose, std::int64_t count, CountsOf<Choose>* tiles) {
  const std::int64_t first = tile_start();
  if (first >= count) return;
  choose.load();
  CountsOf<Choose> counted{};
  for (std::int64_t start = first; start < first + kTileIndices; start += kTileUnroll * kWarp) {
    int chosen[kTileUnroll];
    choose_some(choose, start, count, chosen);
#pragma unroll
    for (int u = 0; u < kTileUnroll; ++u) {
#pragma unroll
      for (int c = 0; c < Choose::kClasses; ++c) counted.of[c] += chosen[u] == c ? 1u : 0u;
    }
  }
#pragma unroll
  for (int c = 0; c < Choose::kClasses; ++c) counted.of[c] = warp_sum(counted.of[c]);
  if (threadIdx.x % kWarp == 0) tiles[first / kTileIndices] = counted;
}

// ends: the tiles' counts summed up, each with its own.
template <typename Choose, typename Take>
__global__ void __launch_bounds__(kTileThreads)
    take_tiles_kernel(Choose choose, Take take, std::int64_t count, const CountsOf<Choose>* ends) {
  const std::int64_t first = tile_start();
  if (first >= count) return;
  const std::int64_t tile = first / kTileIndices;
  CountsOf<Choose> before{};
  if (tile > 0) before = ends[tile - 1];
  bool any = false;
#pragma unroll
  for (int c = 0; c < Choose::kClasses; ++c) any |= ends[tile].of[c] != before.of[c];
  if (!any) return;
  choose.load();
  take.load();
  const unsigned lane = threadIdx.x % kWarp, lower_lanes = (1u << lane) - 1;
  for (std::int64_t start = first; start < first + kTileIndices; start += kTileUnroll * kWarp) {
    int chosen[kTileUnroll];
    choose_some(choose, start, count, chosen);
#pragma unroll
    for (int u = 0; u < kTileUnroll; ++u) {
      const std::int64_t i = start + u * kWarp + lane;
#pragma unroll
      for (int c = 0; c < Choose::kClasses; ++c) {
        const unsigned alike = __ballot_sync(kAllLanes, chosen[u] == c);
        if (chosen[u] == c) {
          take(i, c, before.of[c] + static_cast<unsigned>(__popc(alike & lower_lanes)));
        }
        before.of[c] += static_cast<unsigned>(__popc(alike));
      }
    }
  }
}

}  // namespace internal

// The numbers of indices of a range that Choose picks, by tiles; for take_indices().
template <int kClasses>
struct TileCounts {
  std::int64_t count = 0;                      // of the range
  ClassCounts<kClasses>* ends = nullptr;       // device
  const ClassCounts<kClasses>* all = nullptr;  // device: of the whole range
};

// REQUIRES 1 <= count < 2^32.
template <typename Choose>
TileCounts<Choose::kClasses> count_indices(Operation& operation, std::int64_t count,
                                           const Choose& choose) {
  const std::int64_t tiles = blocks_for(count, internal::kTileIndices);
  auto* ends = operation.take<CountsOf<Choose>>(tiles);
  operation.launch({blocks_for(tiles * kWarp, internal::kTileThreads), internal::kTileThreads},
                   internal::count_tiles_kernel<Choose>, choose, count, ends);
  with_policy(
      operation,
      [](const auto& policy, auto... sums) { algorithms::running_sums(policy, sums...); }, ends,
      tiles);
  return {count, ends, ends + tiles - 1};
}

// Hands out what count_indices() counted, with the same choose.
template <typename Choose, typename Take>
void take_indices(Operation& operation, const TileCounts<Choose::kClasses>& counts,
                  const Choose& choose, const Take& take) {
  const std::int64_t tiles = blocks_for(counts.count, internal::kTileIndices);
  operation.launch({blocks_for(tiles * kWarp, internal::kTileThreads), internal::kTileThreads},
                   internal::take_tiles_kernel<Choose, Take>, choose, take, counts.count,
                   counts.ends);
}

}  // namespace mneme::kernels::cuda
