// The columns of a float32 row that a warp works on: kWide neighbouring ones for each lane.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/warp_lane.h"

namespace mneme::kernels::cuda {

// kWide 4 needs rows aligned to 16 bytes and a width that is a multiple of 4; kWide 1 nothing.
template <int kWide>
class ColumnBlock {
 public:
  static_assert(kWide == 1 || kWide == 4);
  static constexpr int kColumnsOfBlock = kWarp * kWide;

  __device__ __forceinline__ ColumnBlock(int block, std::int64_t width)
      : column_(std::int64_t{block} * kColumnsOfBlock + lane_of_warp() * kWide),
        inside_(column_ < width) {}

  // 0 beyond the width.
  __device__ __forceinline__ void load(const float* row, float (&x)[kWide]) const {
    if constexpr (kWide == 4) {
      float4 four = make_float4(0, 0, 0, 0);
      if (inside_) four = *reinterpret_cast<const float4*>(row + column_);
      x[0] = four.x, x[1] = four.y, x[2] = four.z, x[3] = four.w;
    } else {
      x[0] = inside_ ? row[column_] : 0.0f;
    }
  }
  __device__ __forceinline__ void store(float* row, const float (&x)[kWide]) const {
    if (!inside_) return;
    if constexpr (kWide == 4) {
      *reinterpret_cast<float4*>(row + column_) = make_float4(x[0], x[1], x[2], x[3]);
    } else {
      row[column_] = x[0];
    }
  }

 private:
  std::int64_t column_;
  bool inside_;
};

// sum += scale * x.
template <int kWide>
__device__ __forceinline__ void add_scaled(float scale, const float (&x)[kWide],
                                           float (&sum)[kWide]) {
#pragma unroll
  for (int i = 0; i < kWide; ++i) sum[i] = fmaf(scale, x[i], sum[i]);
}

}  // namespace mneme::kernels::cuda
