// Picking some indices of a range and handing them out in ascending order, with their rank among
// the picked ones: a stream compaction that keeps no memory for each index. A warp goes over a tile
// of neighbouring indices twice: it counts, the tiles' counts are summed up, it hands out.
//
// Choose is what decides:
//   void load();                               // reads from device memory what it needs, once
//   std::uint64_t operator()(std::int64_t i);  // kNone, kFirst, or kSecond
// so that indices may be of two classes, each with ranks of its own. kClasses is how many it uses.
// Take is what gets the picked ones:
//   void load();
//   void operator()(std::int64_t i, std::uint64_t chosen, std::uint32_t rank);
// chosen being kFirst or kSecond and rank counting from 0 in its class.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/device_math.h"
#include "kernels/cuda/operation.h"
#include "kernels/cuda/thrust_policy.h"

namespace mneme::kernels::cuda {

// Counts of both classes in one number.
inline constexpr std::uint64_t kNone = 0, kFirst = 1, kSecond = std::uint64_t{1} << 32;

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
                                            std::int64_t count,
                                            std::uint64_t (&chosen)[kTileUnroll]) {
#pragma unroll
  for (int u = 0; u < kTileUnroll; ++u) {
    const std::int64_t i = start + u * kWarp + threadIdx.x % kWarp;
    // Beyond the end it asks again of the last one, so that no load waits for a branch.
    const std::uint64_t what = choose(i < count ? i : count - 1);
    chosen[u] = i < count ? what : kNone;
  }
}

template <typename Choose>
__global__ void __launch_bounds__(kTileThreads)
    count_tiles_kernel(Choose choose, std::int64_t count, std::uint64_t* tiles) {
  const std::int64_t first = tile_start();
  if (first >= count) return;
  choose.load();
  std::uint64_t counted = 0;
  for (std::int64_t start = first; start < first + kTileIndices; start += kTileUnroll * kWarp) {
    std::uint64_t chosen[kTileUnroll];
    choose_some(choose, start, count, chosen);
#pragma unroll
    for (int u = 0; u < kTileUnroll; ++u) counted += chosen[u];
  }
  counted = warp_sum(counted);
  if (threadIdx.x % kWarp == 0) tiles[first / kTileIndices] = counted;
}

// ends: the tiles' counts summed up, each with its own.
template <typename Choose, typename Take>
__global__ void __launch_bounds__(kTileThreads)
    take_tiles_kernel(Choose choose, Take take, std::int64_t count, const std::uint64_t* ends) {
  const std::int64_t first = tile_start();
  if (first >= count) return;
  const std::int64_t tile = first / kTileIndices;
  std::uint64_t before = tile == 0 ? 0 : ends[tile - 1];
  if (ends[tile] == before) return;
  choose.load();
  take.load();
  const unsigned lane = threadIdx.x % kWarp, lower_lanes = (1u << lane) - 1;
  for (std::int64_t start = first; start < first + kTileIndices; start += kTileUnroll * kWarp) {
    std::uint64_t chosen[kTileUnroll];
    choose_some(choose, start, count, chosen);
#pragma unroll
    for (int u = 0; u < kTileUnroll; ++u) {
      const unsigned firsts = __ballot_sync(kAllLanes, chosen[u] == kFirst);
      const unsigned seconds =
          Choose::kClasses == 2 ? __ballot_sync(kAllLanes, chosen[u] == kSecond) : 0;
      const std::int64_t i = start + u * kWarp + lane;
      if (chosen[u] == kFirst) {
        take(i, kFirst, static_cast<std::uint32_t>(before) + __popc(firsts & lower_lanes));
      } else if (chosen[u] == kSecond) {
        take(i, kSecond, static_cast<std::uint32_t>(before >> 32) + __popc(seconds & lower_lanes));
      }
      before += __popc(firsts) * kFirst + __popc(seconds) * kSecond;
    }
  }
}

}  // namespace internal

// The numbers of indices of a range that Choose picks, by tiles; for take_indices().
struct TileCounts {
  std::int64_t count = 0;              // of the range
  std::uint64_t* ends = nullptr;       // device
  const std::uint64_t* all = nullptr;  // device: of the whole range; kFirst and kSecond each
};

// REQUIRES 1 <= count < 2^32.
template <typename Choose>
TileCounts count_indices(Operation& operation, std::int64_t count, const Choose& choose) {
  const std::int64_t tiles = blocks_for(count, internal::kTileIndices);
  auto* ends = operation.take<std::uint64_t>(tiles);
  operation.launch({blocks_for(tiles * kWarp, internal::kTileThreads), internal::kTileThreads},
                   internal::count_tiles_kernel<Choose>, choose, count, ends);
  with_policy(operation,
              [&](const auto& policy) { algorithms::running_sums(policy, ends, tiles); });
  return {count, ends, ends + tiles - 1};
}

// Hands out what count_indices() counted, with the same choose.
template <typename Choose, typename Take>
void take_indices(Operation& operation, const TileCounts& counts, const Choose& choose,
                  const Take& take) {
  const std::int64_t tiles = blocks_for(counts.count, internal::kTileIndices);
  operation.launch({blocks_for(tiles * kWarp, internal::kTileThreads), internal::kTileThreads},
                   internal::take_tiles_kernel<Choose, Take>, choose, take, counts.count,
                   counts.ends);
}

}  // namespace mneme::kernels::cuda
