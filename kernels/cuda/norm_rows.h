// How rows that are normalised map to threads.
//
// A row belongs to one warp (eight rows a block then) or, when it has more than 512 columns, to a
// block of up to 512 threads; a thread has four groups of four columns of a tile. Rows of up to
// 8192 columns are one tile, which stays in registers: memory is read once. Wider rows are read
// again, tile by tile.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cuda/vector_access.h"
#include "kernels/dense_ops.h"

namespace mneme::kernels::cuda::norm_rows {

inline constexpr int kN = 4;
inline constexpr int kGroups = 4;  // of a thread, kN columns each
inline constexpr int kColumnsEach = kN * kGroups;
inline constexpr int kMostThreads = 512;
inline constexpr int kWarpRows = 8;  // of a block whose rows are warps

using Tile = float[kGroups][kN];

// How rows map to threads: kThreads of them have a row.
template <int kThreads>
struct Layout {
  static constexpr int kRowsPerBlock = kThreads == kWarp ? kWarpRows : 1;
  static constexpr int kBlockThreads = kThreads * kRowsPerBlock;
  static constexpr int kStride = kThreads * kN;  // between the groups of a thread
  static constexpr int kTile = kThreads * kColumnsEach;

  // Of the calling thread: its row in the block and its first column.
  static __device__ __forceinline__ int row() { return static_cast<int>(threadIdx.x) / kThreads; }
  static __device__ __forceinline__ int column() {
    return static_cast<int>(threadIdx.x) % kThreads * kN;
  }
  // The sum over the threads of a row. shared: [33].
  static __device__ __forceinline__ float sum(float x, float* shared) {
    return kThreads == kWarp ? warp_sum(x) : block_sum(x, shared);
  }
};

// Calls body with the number of threads for rows of `width` columns, as a constant.
template <int kThreads = kWarp, typename Body>
void with_row_threads(std::int64_t width, const Body& body) {
  if constexpr (kThreads < kMostThreads) {
    if (width > Layout<kThreads>::kTile) return with_row_threads<kThreads * 2>(width, body);
  }
  body(std::integral_constant<int, kThreads>{});
}

struct RowShape {
  std::int64_t rows, width;
  float divisor;  // of the sum of squares: the width for RMS
  bool vector;
};

inline RowShape row_shape(NormKind kind, std::int64_t rows, std::int64_t width, bool vector) {
  return {rows, width, kind == NormKind::kRms ? static_cast<float>(width) : 1.0f, vector};
}

}  // namespace mneme::kernels::cuda::norm_rows
