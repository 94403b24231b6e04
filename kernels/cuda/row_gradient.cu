// Operation row_gradient_norms of the CUDA backend, and the sums of popular rows.
#include "kernels/cuda/row_gradient.h"

#include "kernels/cuda/cuda_backend.h"

namespace mneme::kernels::cuda {
namespace {

// ---- popular rows ----

constexpr int kSumThreads = 128;             // columns of a block
constexpr int kCandidates = 8;               // of a block
constexpr std::uint32_t kSumWindow = 1024;   // lookups staged at once
constexpr std::uint32_t kSumsInFlight = 64;  // reads of a thread
// Resident on a multiprocessor: named, so that the compiler spends registers on reads under way.
constexpr int kSumBlocks = 4;

struct PopularSearch {
  const std::uint32_t* offsets;  // [distinct rows + 1]
  const std::uint32_t* unique_index;
  std::int64_t first, count;  // the chunk
  std::int64_t candidates;
};

struct Positions {
  std::uint32_t begin, end;
};

// The popular row of the chunk whose lookups start in [kPopular * i, kPopular * (i + 1)), if there
// is one: it is the row at position kPopular * (i + 1). Empty otherwise.
__device__ Positions popular_row(const PopularSearch& search, const std::uint32_t* order,
                                 std::int64_t i) {
  if (i >= search.candidates) return {0, 0};
  const std::int64_t row = search.unique_index[order[(i + 1) * kPopular]];
  if (row < search.first || row >= search.first + search.count) return {0, 0};
  const std::uint32_t begin = search.offsets[row], end = search.offsets[row + 1];
  if (begin / kPopular != i || end - begin <= kPopular) return {0, 0};
  return {begin, end};
}

// sum plus the column's terms, one after the other, many of them read ahead.
__device__ __forceinline__ float add_column(const GradientTerm* terms, std::uint32_t n,
                                            const float* column, std::uint32_t row_bytes,
                                            float sum) {
  std::uint32_t at = 0;
  for (; at + kSumsInFlight <= n; at += kSumsInFlight) {
    float x[kSumsInFlight];
#pragma unroll
    for (std::uint32_t i = 0; i < kSumsInFlight; ++i) {
      x[i] = *row_at(column, terms[at + i].token, row_bytes);
    }
#pragma unroll
    for (std::uint32_t i = 0; i < kSumsInFlight; ++i) {
      sum = fused_multiply_add(terms[at + i].weight, x[i], sum);
    }
  }
  for (; at < n; ++at) {
    sum = fused_multiply_add(terms[at].weight, *row_at(column, terms[at].token, row_bytes), sum);
  }
  return sum;
}

// Columns blockIdx.y * kSumThreads + threadIdx.x of every gridDim.x-th candidate.
__global__ void __launch_bounds__(kSumThreads, kSumBlocks)
    popular_sums_kernel(GradientLookups lookups, PopularSearch search, float* sums) {
  __shared__ Positions rows[kCandidates];
  __shared__ GradientTerm terms[kSumWindow];
  const std::int64_t column = std::int64_t{blockIdx.y} * kSumThreads + threadIdx.x;
  if (threadIdx.x < kCandidates) {
    const std::int64_t candidate = blockIdx.x + std::int64_t{gridDim.x} * threadIdx.x;
    rows[threadIdx.x] = popular_row(search, lookups.order, candidate);
  }
  __syncthreads();
  for (int i = 0; i < kCandidates; ++i) {
    const Positions row = rows[i];
    float sum = 0;
    for (std::uint32_t at = row.begin; at < row.end;) {
      const std::uint32_t n = min(kSumWindow, row.end - at);
      __syncthreads();
      for (std::uint32_t t = threadIdx.x; t < n; t += kSumThreads) {
        terms[t] = gradient_term(lookups, at + t);
      }
      __syncthreads();
      if (column < lookups.width) {
        sum = add_column(terms, n, lookups.d_y + column, lookups.width * 4, sum);
      }
      at += n;
    }
    if (row.begin < row.end && column < lookups.width) {
      row_at(sums, row.begin / kPopular, lookups.width * 4)[column] = sum;
    }
  }
}

// Null when there are too few lookups for a popular row.
const float* sum_popular_rows(Operation& operation, const GradientLookups& lookups,
                              const GroupedLookups& grouped, std::int64_t first,
                              std::int64_t count) {
  const std::int64_t candidates = (grouped.lookups - 1) / kPopular;
  if (candidates <= 0) return nullptr;
  auto* sums = operation.take<float>(candidates * lookups.width);
  Grid grid{blocks_for(candidates, kCandidates), kSumThreads};
  grid.blocks_y = blocks_for(lookups.width, kSumThreads);
  operation.launch(grid, popular_sums_kernel, lookups,
                   PopularSearch{grouped.offsets, grouped.unique_index, first, count, candidates},
                   sums);
  return sums;
}

// ---- norms ----
//
// Most rows have one look-up: their gradient is weight * d_y of a token, its squared norm weight
// squared times the token's. So the tokens' norms are worked out first, with one reading of d_y;
// d_y is read once more for each look-up of the other rows only.
//
// Every norm adds up squares in an order that depends on the width alone: a thread those of its
// columns in ascending order, tile by tile; then the lanes of a warp as a tree, then the warps.

constexpr int kNormRows = kWarp;  // of a block, at most
constexpr int kNormInFlight = 4;  // lookups of a thread
// Named, so that the compiler spends registers on reads under way.
constexpr int kResidentBlocks = 4;
constexpr int kTokenBlocks = 5;
constexpr std::uint32_t kNoToken = 0xffffffffu;

using WarpSquares = float[kMaxRowThreads / kWarp];

__device__ __forceinline__ void add_squares(const Quads& x, float& square) {
#pragma unroll
  for (int k = 0; k < kQuads; ++k) {
#pragma unroll
    for (int c = 0; c < kQuad; ++c) square = fused_multiply_add(x[k][c], x[k][c], square);
  }
}
__device__ __forceinline__ void store_warp_square(float square, WarpSquares& squares) {
  square = warp_sum(square);
  const auto thread = static_cast<int>(threadIdx.x);
  if (thread % kWarp == 0) squares[thread / kWarp] = square;
}
__device__ __forceinline__ float sum_of_warps(const WarpSquares& squares) {
  float sum = 0;
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) sum += squares[w];
  return sum;
}

__device__ __forceinline__ bool has_one_lookup(const GradientLookups& lookups, std::int64_t row) {
  return lookups.offsets[row + 1] - lookups.offsets[row] == 1;
}

// Squared norms of tokens' d_y. of_rows: norms[i] is that of the token that row i's one look-up is
// of, and is left alone where a row has several; else norms[i] is token i's. The same code for
// both, so that a row's norm has the same bits whichever of them its chunk takes.
template <bool kWhole>
__global__ void __launch_bounds__(kMaxRowThreads, kWhole ? kTokenBlocks : 1)
    token_norms_kernel(GradientLookups lookups, bool of_rows, std::int64_t count, int block_rows,
                       float* norms) {
  __shared__ std::uint32_t tokens[kBlockRows];
  __shared__ WarpSquares squares[kBlockRows];
  const std::int64_t first = std::int64_t{blockIdx.x} * block_rows;
  const auto rows = static_cast<int>(min(std::int64_t{block_rows}, count - first));
  const auto thread = static_cast<int>(threadIdx.x);
  if (thread < rows) {
    const std::int64_t i = first + thread;
    tokens[thread] = !of_rows                     ? static_cast<std::uint32_t>(i)
                     : has_one_lookup(lookups, i) ? gradient_term(lookups, lookups.offsets[i]).token
                                                  : kNoToken;
  }
  __syncthreads();
  for (int i = 0; i < rows; ++i) {
    if (tokens[i] == kNoToken) continue;
    const float* row = row_at(lookups.d_y, tokens[i], lookups.width * 4);
    float square = 0;
    for (std::int64_t tile = 0; tile < lookups.width; tile += row_tile()) {
      Quads x;
#pragma unroll
      for (int k = 0; k < kQuads; ++k) {
        for (int c = 0; c < kQuad; ++c) x[k][c] = 0;
        const std::int64_t column = quad_column(tile, k);
        load_quad<kWhole>(row + column, lookups.width - column, x[k]);
      }
      add_squares(x, square);
    }
    store_warp_square(square, squares[i]);
  }
  __syncthreads();
  if (thread < rows && tokens[thread] != kNoToken) {
    norms[first + thread] = sum_of_warps(squares[thread]);
  }
}

// Where token_norms_kernel has left its norms. A parameter of kernels.
struct TokenNorms {
  const float* norms;
  bool of_rows;
};

// Writes the norm of a row with one look-up; false where d_y has to be read: for several look-ups,
// and for one where squares overflow that may not with their weight.
__device__ bool norm_by_token(const GradientLookups& lookups, const TokenNorms& token_norms,
                              std::int64_t row, float* square_norms) {
  if (!has_one_lookup(lookups, row)) return false;
  const GradientTerm term = gradient_term(lookups, lookups.offsets[row]);
  const float square = token_norms.norms[token_norms.of_rows ? row : term.token];
  square_norms[row] = term.weight * square * term.weight;
  return isfinite(square);
}

template <bool kWhole>
__global__ void __launch_bounds__(kMaxRowThreads, kWhole ? kResidentBlocks : 1)
    square_norms_kernel(GradientLookups lookups, TokenNorms token_norms, std::int64_t count,
                        int block_rows, float* square_norms) {
  __shared__ std::uint32_t offsets[kNormRows][2];
  __shared__ unsigned left_over;  // a bit for each row whose d_y is read
  __shared__ WarpSquares squares[kNormRows];
  __shared__ GradientTerm terms[kWindow];
  const std::int64_t first = std::int64_t{blockIdx.x} * block_rows;
  const auto rows = static_cast<int>(min(std::int64_t{block_rows}, count - first));
  const auto thread = static_cast<int>(threadIdx.x);
  if (thread < kWarp) {
    bool known = true;
    if (thread < rows) {
      offsets[thread][0] = lookups.offsets[first + thread];
      offsets[thread][1] = lookups.offsets[first + thread + 1];
      known = norm_by_token(lookups, token_norms, first + thread, square_norms);
    }
    const unsigned unknown = __ballot_sync(kAllLanes, !known);
    if (thread == 0) left_over = unknown;
  }
  __syncthreads();
  const unsigned summed = left_over;
  LookupWindow window{terms, offsets[rows - 1][1]};
  for (unsigned left = summed; left != 0; left &= left - 1) {
    const int i = __ffs(static_cast<int>(left)) - 1;
    float square = 0;
    for (std::int64_t tile = 0; tile < lookups.width; tile += row_tile()) {
      Quads sum;
      sum_gradient<kNormInFlight, kWhole>(lookups, window, offsets[i][0], offsets[i][1], tile, sum);
      add_squares(sum, square);
    }
    store_warp_square(square, squares[i]);
  }
  __syncthreads();
  if (thread < rows && (summed >> thread & 1) != 0) {
    square_norms[first + thread] = sum_of_warps(squares[thread]);
  }
}

}  // namespace

GradientLookups prepare_gradient(Operation& operation, const RowGradient& gradient,
                                 std::int64_t first, std::int64_t count) {
  const GroupedLookups& grouped = gradient.grouped;
  CHECK(gradient.width >= 1 && gradient.width < std::int64_t{1} << 29);
  CHECK(grouped.lookups_per_token >= 1 && grouped.offsets != nullptr && grouped.order != nullptr);
  CHECK(first >= 0 && count >= 0);
  GradientLookups lookups{grouped.offsets + first,
                          grouped.order,
                          gradient.weights,
                          gradient.d_y,
                          nullptr,
                          static_cast<std::uint32_t>(grouped.lookups_per_token),
                          static_cast<std::uint32_t>(gradient.width),
                          grouped.lookups / grouped.lookups_per_token};
  if (count > 0) {
    lookups.popular_sums = sum_popular_rows(operation, lookups, grouped, first, count);
  }
  return lookups;
}

void launch_square_norms(Operation& operation, const GradientLookups& lookups, std::int64_t count,
                         float* square_norms) {
  if (count == 0) return;
  // A few rows look up few of the tokens.
  const bool of_rows = count < lookups.tokens;
  const std::int64_t norms = of_rows ? count : lookups.tokens;
  auto* token_norms = operation.take<float>(norms);
  const int tokens_per_block = rows_per_block(norms), rows = rows_per_block(count, kNormRows);
  with_bool(is_whole(lookups), [&](auto whole) {
    constexpr bool kWhole = decltype(whole)::value;
    operation.launch({blocks_for(norms, tokens_per_block), row_threads(lookups.width)},
                     token_norms_kernel<kWhole>, lookups, of_rows, norms, tokens_per_block,
                     token_norms);
    operation.launch({blocks_for(count, rows), row_threads(lookups.width)},
                     square_norms_kernel<kWhole>, lookups, TokenNorms{token_norms, of_rows}, count,
                     rows, square_norms);
  });
}

void CudaBackend::row_gradient_norms(Stream& stream, const RowGradient& gradient,
                                     std::int64_t first, std::int64_t count, float* square_norms) {
  Operation operation(stream, "row_gradient_norms");
  const GradientLookups lookups = prepare_gradient(operation, gradient, first, count);
  launch_square_norms(operation, lookups, count, square_norms);
}

}  // namespace mneme::kernels::cuda
