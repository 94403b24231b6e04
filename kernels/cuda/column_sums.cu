// Column sums over many rows with a fixed order.
#include "kernels/cuda/column_sums.h"

#include <algorithm>

#include "kernels/cuda/vector_access.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kWarps = 16;
constexpr int kThreads = kWarps * kWarp;
constexpr int kUnroll = 4;  // rows of a warp whose loads are in flight together

constexpr std::int64_t kLeastRowsPerChunk = 64;
constexpr std::int64_t kMostChunks = 256;

// A matrix, and what each block row (blockIdx.y) does with its chunk of it.
struct Chunks {
  const float* factors;  // [rows], or null
  float* out;            // [chunks, width]
  std::int64_t rows, width, rows_per_chunk;
  bool vector;
  bool accumulate;
};

// What one warp adds up: rows first, first + kWarps, ... before end. left: columns from x on.
template <typename T, int N>
__device__ __forceinline__ void sum_warp_rows(const T* x, const Chunks& chunks, std::int64_t first,
                                              std::int64_t end, std::int64_t left,
                                              float (&sums)[N]) {
  for (std::int64_t row = first; row < end; row += kWarps * kUnroll) {
    float values[kUnroll][N];
    float factors[kUnroll];
    const std::int64_t rows = blocks_for(end - row, kWarps);
    if (chunks.vector && rows >= kUnroll) {
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        load_vector(x + (row + u * kWarps) * chunks.width, values[u]);
      }
    } else {
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        load_some(x + (row + u * kWarps) * chunks.width, u < rows ? left : 0, values[u]);
      }
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      factors[u] = chunks.factors != nullptr && u < rows ? chunks.factors[row + u * kWarps] : 1.0f;
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
#pragma unroll
      for (int i = 0; i < N; ++i) sums[i] = fmaf(factors[u], values[u][i], sums[i]);
    }
  }
}

// Block (tile, chunk): each lane has N columns, each warp every kWarps-th row; then the warps' sums
// are added in their order.
template <typename T>
__global__ void __launch_bounds__(kThreads, 2) column_sums_kernel(const T* x, Chunks chunks) {
  constexpr int kN = kGroup<T>;
  constexpr int kTile = kWarp * kN;
  __shared__ float shared[kWarps][kTile];
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const std::int64_t tile = std::int64_t{blockIdx.x} * kTile;
  const std::int64_t begin = std::int64_t{blockIdx.y} * chunks.rows_per_chunk;
  const std::int64_t end = min(begin + chunks.rows_per_chunk, chunks.rows);
  const std::int64_t column = tile + lane * kN;
  float sums[kN] = {};
  if (column < chunks.width) {
    sum_warp_rows(x + column, chunks, begin + warp, end, chunks.width - column, sums);
  }
#pragma unroll
  for (int i = 0; i < kN; ++i) shared[warp][i * kWarp + lane] = sums[i];
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kTile; i += kThreads) {
    if (tile + i >= chunks.width) break;
    float total = 0.0f;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) total += shared[w][i % kN * kWarp + i / kN];
    float* out = chunks.out + blockIdx.y * chunks.width + tile + i;
    *out = chunks.accumulate ? *out + total : total;
  }
}

template <typename T>
void launch_column_sums(Operation& operation, const T* x, Chunks chunks) {
  constexpr int kN = kGroup<T>;
  if (chunks.rows == 0) return;
  chunks.vector = vector_aligned<kN>(x, chunks.width);
  operation.launch({.blocks = blocks_for(chunks.width, kWarp * kN),
                    .threads = kThreads,
                    .blocks_y = blocks_for(chunks.rows, chunks.rows_per_chunk)},
                   column_sums_kernel<T>, x, chunks);
}

}  // namespace

void add_partial_rows(Operation& operation, const float* partial, std::int64_t rows,
                      std::int64_t width, float* out) {
  launch_column_sums(operation, partial, {nullptr, out, rows, width, rows, false, true});
}

void add_column_sums(Operation& operation, const ColumnSums& sums) {
  const std::int64_t rows_per_chunk =
      std::max(kLeastRowsPerChunk, blocks_for(sums.rows, kMostChunks));
  const std::int64_t chunks = blocks_for(sums.rows, rows_per_chunk);
  const bool direct = chunks <= 1;
  float* out = direct ? sums.out : operation.take<float>(chunks * sums.width);
  with_float_type(sums.type, [&](auto type) {
    using T = decltype(type);
    launch_column_sums(operation, static_cast<const T*>(sums.x),
                       {sums.factors, out, sums.rows, sums.width, rows_per_chunk, false, direct});
  });
  if (!direct) add_partial_rows(operation, out, chunks, sums.width, sums.out);
}

}  // namespace mneme::kernels::cuda
