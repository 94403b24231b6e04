// Gradients of row-wise RMS and L2 normalisation.
#include <algorithm>

#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/norm_rows.h"
#include "kernels/cuda/operation.h"

namespace mneme::kernels::cuda {
namespace {

using namespace norm_rows;

// Rows of partial sums for d_gain, at most, and rows behind one of them, at least. A block makes
// one: there are enough of them to fill a large device, which holds four to sixteen a
// multiprocessor.
constexpr std::int64_t kPartialRows = 2048;
constexpr std::int64_t kLeastRowsPerChunk = 8;

struct NormBackwardRows {
  const float* x;
  const float* gain;
  const float* inverse;
  const float* d_out;
  float* d_x;
  float* partial;  // [chunks, gain_rows, width]: sums of d_gain
  std::int64_t gain_rows;
  std::int64_t rows_per_chunk;  // of those with one gain row
  bool accumulate;
};

// What a thread has of a row.
struct BackwardTile {
  Tile x, d_out, gain, d_x;
};

template <typename Rows>
__device__ __forceinline__ void load_tile(const NormBackwardRows& norm, const RowShape& shape,
                                          std::int64_t row, std::int64_t c, BackwardTile& tile) {
  const std::int64_t at = row * shape.width + c, left = shape.width - c;
  load_row_groups(norm.x + at, Rows::kStride, left, shape.vector, tile.x);
  load_row_groups(norm.d_out + at, Rows::kStride, left, shape.vector, tile.d_out);
  // d_x is read only to accumulate: it may hold anything, NaN too.
  load_row_groups(norm.d_x + at, Rows::kStride, norm.accumulate ? left : 0, shape.vector, tile.d_x);
  load_row_groups(norm.gain + row % norm.gain_rows * shape.width + c, Rows::kStride, left,
                  shape.vector, tile.gain);
}

__device__ __forceinline__ float tile_dot(const BackwardTile& tile) {
  float dot = 0.0f;
#pragma unroll
  for (int i = 0; i < kColumnsEach; ++i) {
    const int g = i / kN, k = i % kN;
    dot = fmaf(tile.d_out[g][k] * tile.gain[g][k], tile.x[g][k], dot);
  }
  return dot;
}

// With h = d_out * gain: d_x = inverse * (h - x * inverse^2 * <h, x> / divisor). Adds to sums the
// row's share of d_gain.
template <typename Rows>
__device__ __forceinline__ void finish_tile(const NormBackwardRows& norm, const RowShape& shape,
                                            std::int64_t row, std::int64_t c, float dot,
                                            BackwardTile& tile, Tile& sums) {
  const float inverse = norm.inverse[row];
  const float pull = inverse * inverse * inverse * dot / shape.divisor;
#pragma unroll
  for (int i = 0; i < kColumnsEach; ++i) {
    const int g = i / kN, k = i % kN;
    const float scaled = inverse * tile.d_out[g][k];
    tile.d_x[g][k] += fmaf(scaled, tile.gain[g][k], -pull * tile.x[g][k]);
    sums[g][k] = fmaf(scaled, tile.x[g][k], sums[g][k]);
  }
  store_row_groups(norm.d_x + row * shape.width + c, Rows::kStride, shape.width - c, shape.vector,
                   tile.d_x);
}

// The block's sums over its warps, in their order, when rows are warps.
__device__ __forceinline__ void store_warp_sums(const Tile& sums, std::int64_t width, float* out) {
  __shared__ float shared[kWarpRows][kColumnsEach][kWarp];
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
#pragma unroll
  for (int i = 0; i < kColumnsEach; ++i) shared[warp][i][lane] = sums[i / kN][i % kN];
  __syncthreads();
  for (int c = static_cast<int>(threadIdx.x); c < width; c += kWarpRows * kWarp) {
    // Column c is element c % kN of group c / (kWarp * kN) of a lane.
    const int i = c / (kWarp * kN) * kN + c % kN;
    float total = 0.0f;
#pragma unroll
    for (int w = 0; w < kWarpRows; ++w) total += shared[w][i][c / kN % kWarp];
    out[c] = total;
  }
}

// Block (chunk, g): the chunk's rows among those with gain row g, one after the other (or eight
// warps side by side), so that the sums of d_gain stay in registers.
template <int kThreads>
__global__ void __launch_bounds__(Layout<kThreads>::kBlockThreads)
    norm_backward_kernel(NormBackwardRows norm, RowShape shape) {
  using Rows = Layout<kThreads>;
  __shared__ float shared[kWarp + 1];
  const std::int64_t gain_row = blockIdx.y, width = shape.width;
  const std::int64_t begin = std::int64_t{blockIdx.x} * norm.rows_per_chunk;
  const std::int64_t end =
      min(begin + norm.rows_per_chunk, blocks_for(shape.rows - gain_row, norm.gain_rows));
  const std::int64_t c = Rows::column();
  float* partial = norm.partial + (blockIdx.x * norm.gain_rows + gain_row) * width;
  Tile sums = {};
  for (std::int64_t i = begin + Rows::row(); i < end; i += Rows::kRowsPerBlock) {
    const std::int64_t row = i * norm.gain_rows + gain_row;
    BackwardTile tile;
    load_tile<Rows>(norm, shape, row, c, tile);
    const float dot = Rows::sum(tile_dot(tile), shared);
    finish_tile<Rows>(norm, shape, row, c, dot, tile, sums);
  }
  if constexpr (kThreads == kWarp) {
    store_warp_sums(sums, width, partial);
  } else if (c < width) {
    store_row_groups(partial + c, Rows::kStride, width - c, shape.vector, sums);
  }
}

// The same for rows of several tiles: the sums of d_gain lie in the partial sums.
__global__ void __launch_bounds__(kMostThreads)
    wide_norm_backward_kernel(NormBackwardRows norm, RowShape shape) {
  using Rows = Layout<kMostThreads>;
  __shared__ float shared[kWarp + 1];
  const std::int64_t gain_row = blockIdx.y, width = shape.width;
  const std::int64_t begin = std::int64_t{blockIdx.x} * norm.rows_per_chunk;
  const std::int64_t end =
      min(begin + norm.rows_per_chunk, blocks_for(shape.rows - gain_row, norm.gain_rows));
  const std::int64_t first = Rows::column();
  float* partial = norm.partial + (blockIdx.x * norm.gain_rows + gain_row) * width;
  BackwardTile tile;
  for (std::int64_t c = first; c < width; c += Rows::kTile) {
    const Tile zeros = {};
    store_row_groups(partial + c, Rows::kStride, width - c, shape.vector, zeros);
  }
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t row = i * norm.gain_rows + gain_row;
    float dot = 0.0f;
    for (std::int64_t c = first; c < width; c += Rows::kTile) {
      load_tile<Rows>(norm, shape, row, c, tile);
      dot += tile_dot(tile);
    }
    dot = block_sum(dot, shared);
    for (std::int64_t c = first; c < width; c += Rows::kTile) {
      Tile sums;
      load_tile<Rows>(norm, shape, row, c, tile);
      load_row_groups(partial + c, Rows::kStride, width - c, shape.vector, sums);
      finish_tile<Rows>(norm, shape, row, c, dot, tile, sums);
      store_row_groups(partial + c, Rows::kStride, width - c, shape.vector, sums);
    }
  }
}

}  // namespace

void CudaBackend::norm_backward(Stream& stream, const NormBackwardArgs& args) {
  CHECK(args.rows >= 0 && args.width > 0 && args.gain_rows > 0);
  Operation operation(stream, "norm_backward");
  const RowShape shape =
      row_shape(args.kind, args.rows, args.width,
                vector_aligned<kN>(args.x, args.width) && vector_aligned<kN>(args.gain) &&
                    vector_aligned<kN>(args.d_out) && vector_aligned<kN>(args.d_x));
  const std::int64_t gain_rows = std::min(args.gain_rows, args.rows);  // that have a row
  if (gain_rows == 0) return;
  const std::int64_t rows_of_gain = blocks_for(args.rows, args.gain_rows);
  const std::int64_t rows_per_chunk =
      std::max(kLeastRowsPerChunk,
               blocks_for(rows_of_gain, std::max<std::int64_t>(1, kPartialRows / gain_rows)));
  const std::int64_t chunks = blocks_for(rows_of_gain, rows_per_chunk);
  float* partial = operation.take<float>(chunks * gain_rows * args.width);
  const NormBackwardRows norm{args.x,  args.gain, args.inverse,   args.d_out,     args.d_x,
                              partial, gain_rows, rows_per_chunk, args.accumulate};
  with_row_threads(args.width, [&](auto threads) {
    using Rows = Layout<threads>;
    operation.launch(
        {.blocks = chunks, .threads = Rows::kBlockThreads, .blocks_y = gain_rows},
        args.width <= Rows::kTile ? norm_backward_kernel<threads> : wide_norm_backward_kernel, norm,
        shape);
  });
  add_partial_rows(operation, partial, chunks, gain_rows * args.width, args.d_gain);
}

}  // namespace mneme::kernels::cuda
