// Rows of attention in float32 arithmetic, for head widths up to 256 of either type. Every warp of
// a block owns a few rows of one side (queries or keys); of the other side a lane has one row at a
// time for scores, and its own columns of all rows for sums.
#pragma once

#include <cstdint>

#include "kernels/cuda/device_math.h"

namespace mneme::kernels::cuda {

inline constexpr int kRowWarps = 8;
inline constexpr int kRowThreads = kRowWarps * kWarp;
inline constexpr int kOwnRows = 4;                      // of a warp
inline constexpr int kRowBlock = kRowWarps * kOwnRows;  // rows of a block
inline constexpr int kOtherRows = kWarp;                // of a tile that all warps meet

// From row to row of a tile whose rows the lanes of a warp read side by side: odd, so that they lie
// in different banks.
__device__ __forceinline__ int odd_stride(int width) {
  return width | 1;
}
// Floats of a tile of kRowBlock or kOtherRows rows, at any stride.
constexpr std::int64_t tile_floats(std::int64_t width) {
  return 32 * (width | 1);
}
static_assert(kRowBlock == 32 && kOtherRows == 32);

// Copies 32 rows of `width` columns that lie `stride` elements apart as float32; rows from
// `present` on become 0.
template <typename T>
__device__ __forceinline__ void copy_rows(float* tile, int tile_stride, const T* rows,
                                          std::int64_t stride, int width, int present) {
  for (int i = static_cast<int>(threadIdx.x); i < 32 * width; i += kRowThreads) {
    const int row = i / width, column = i % width;
    tile[row * tile_stride + column] = row < present ? load(rows + row * stride + column) : 0.0f;
  }
}

// products[r] = <row r of own, other>.
__device__ __forceinline__ void dot_rows(float (&products)[kOwnRows], const float* own,
                                         int own_stride, const float* other, int width) {
#pragma unroll
  for (int r = 0; r < kOwnRows; ++r) products[r] = 0.0f;
  for (int column = 0; column < width; ++column) {
    const float x = other[column];
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r) {
      products[r] = fmaf(own[r * own_stride + column], x, products[r]);
    }
  }
}

// A warp's sums: columns lane, lane + 32, ... of each of its rows. kGroups: of 32 columns.
template <int kGroups>
struct RowSums {
  float sums[kOwnRows][kGroups];

  __device__ __forceinline__ RowSums() {
#pragma unroll
    for (int i = 0; i < kOwnRows * kGroups; ++i) sums[i / kGroups][i % kGroups] = 0.0f;
  }
  __device__ __forceinline__ void scale_row(int r, float factor) {
#pragma unroll
    for (int group = 0; group < kGroups; ++group) sums[r][group] *= factor;
  }
  // += sum over j of weights[r, j] * row j of the tile.
  __device__ __forceinline__ void add(const float (*weights)[kOtherRows], const float* tile,
                                      int tile_stride, int width) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    for (int j = 0; j < kOtherRows; ++j) {
#pragma unroll
      for (int group = 0; group < kGroups; ++group) {
        const int column = kWarp * group + lane;
        const float x = column < width ? tile[j * tile_stride + column] : 0.0f;
#pragma unroll
        for (int r = 0; r < kOwnRows; ++r) {
          sums[r][group] = fmaf(weights[r][j], x, sums[r][group]);
        }
      }
    }
  }
  // target: of the warp's first row; rows from `present` on are not written.
  template <typename T>
  __device__ __forceinline__ void write(T* target, std::int64_t stride, int width, int present) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int i = 0; i < kOwnRows * kGroups; ++i) {
      const int r = i / kGroups, column = kWarp * (i % kGroups) + lane;
      if (r < present && column < width) {
        store(target + r * stride + column, sums[r][i % kGroups]);
      }
    }
  }
};

// Calls body with the type and with the groups of 32 columns that hold a row, both as values of
// types that say them. Host code.
template <typename Body>
void with_row_sums(FloatType type, std::int64_t width, const Body& body) {
  with_float_type(type, [&](auto element) {
    if (width <= 2 * kWarp) {
      body(element, std::integral_constant<int, 2>{});
    } else {
      body(element, std::integral_constant<int, 8>{});
    }
  });
}

}  // namespace mneme::kernels::cuda
