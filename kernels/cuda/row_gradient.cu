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
  std::int64_t row;  // of the chunk
};

// The popular row of the chunk whose lookups start in [kPopular * i, kPopular * (i + 1)), if there
// is one: it is the row at position kPopular * (i + 1). Empty otherwise.
__device__ Positions popular_row(const PopularSearch& search, const std::uint32_t* order,
                                 std::int64_t i) {
  if (i >= search.candidates) return {0, 0, 0};
  const std::int64_t row = search.unique_index[order[(i + 1) * kPopular]];
  if (row < search.first || row >= search.first + search.count) return {0, 0, 0};
  const std::uint32_t begin = search.offsets[row], end = search.offsets[row + 1];
  if (begin / kPopular != i || end - begin <= kPopular) return {0, 0, 0};
  return {begin, end, row - search.first};
}

// sum plus the column's terms, one after the other, many of them read ahead.
template <typename Vector>
__device__ __forceinline__ float add_column(const GradientTerm* terms, std::uint32_t n,
                                            const Vector* column, std::uint32_t row_bytes,
                                            float sum) {
  std::uint32_t at = 0;
  for (; at + kSumsInFlight <= n; at += kSumsInFlight) {
    float x[kSumsInFlight];
#pragma unroll
    for (std::uint32_t i = 0; i < kSumsInFlight; ++i) {
      x[i] = load(row_at(column, terms[at + i].token, row_bytes));
    }
#pragma unroll
    for (std::uint32_t i = 0; i < kSumsInFlight; ++i) {
      sum = fused_multiply_add(terms[at + i].factor, x[i], sum);
    }
  }
  for (; at < n; ++at) {
    sum =
        fused_multiply_add(terms[at].factor, load(row_at(column, terms[at].token, row_bytes)), sum);
  }
  return sum;
}

// Columns blockIdx.y * kSumThreads + threadIdx.x of every gridDim.x-th candidate.
template <typename Vector>
__global__ void __launch_bounds__(kSumThreads, kSumBlocks)
    popular_sums_kernel(GradientLookups lookups, PopularSearch search, StandingGradient standing,
                        float* sums) {
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
    if (row.begin < row.end && column < lookups.width && standing.gradient != nullptr &&
        standing.is_first[row.row] == 0) {
      sum = row_at(standing.gradient, standing.slots[row.row], lookups.width * 4)[column];
    }
    for (std::uint32_t at = row.begin; at < row.end;) {
      const std::uint32_t n = min(kSumWindow, row.end - at);
      __syncthreads();
      for (std::uint32_t t = threadIdx.x; t < n; t += kSumThreads) {
        terms[t] = gradient_term(lookups, at + t);
      }
      __syncthreads();
      if (column < lookups.width) {
        sum = add_column(terms, n, static_cast<const Vector*>(lookups.vectors) + column,
                         lookups.width * static_cast<std::uint32_t>(sizeof(Vector)), sum);
      }
      at += n;
    }
    if (row.begin < row.end && column < lookups.width) {
      row_at(sums, row.begin / kPopular, lookups.width * 4)[column] = sum;
    }
  }
}

// Null when there are too few lookups for a popular row, or one for each row.
const float* sum_popular_rows(Operation& operation, const GradientLookups& lookups,
                              const GroupedLookups& grouped, std::int64_t first, std::int64_t count,
                              const StandingGradient& standing) {
  const std::int64_t candidates = (grouped.lookups - 1) / kPopular;
  if (candidates <= 0 || grouped.unique_index == nullptr) return nullptr;
  auto* sums = operation.take<float>(candidates * lookups.width);
  Grid grid{blocks_for(candidates, kCandidates), kSumThreads};
  grid.blocks_y = blocks_for(lookups.width, kSumThreads);
  with_float_type(lookups.type, [&](auto type) {
    operation.launch(grid, popular_sums_kernel<decltype(type)>, lookups,
                     PopularSearch{grouped.offsets, grouped.unique_index, first, count, candidates},
                     standing, sums);
  });
  return sums;
}

// ---- norms ----
//
// Most rows have one look-up: their gradient is factor * vector of a token, its squared norm factor
// squared times the token's. So the tokens' norms are worked out first, with one reading of the
// vectors; they are read once more for each look-up of the other rows only.
//
// Norms are kept apart by column groups. Some lanes of a warp have a group, as many as its width
// asks for; each adds up the squares of its columns in ascending order, tile by tile; then the
// lanes as a tree.

constexpr int kNormRows = kWarp;  // of a block, at most
constexpr int kNormInFlight = 4;  // lookups of a thread
// Named, so that the compiler spends registers on reads under way.
constexpr int kResidentBlocks = 4;
constexpr int kTokenBlocks = 5;
constexpr std::uint32_t kNoToken = 0xffffffffu;

// Which columns a block's threads own: those of group threadIdx.x / lanes. A parameter of kernels.
struct GroupShape {
  int groups, lanes;
  std::int64_t group_width;
};
GroupShape group_shape(const ColumnRange& columns) {
  GroupShape shape{static_cast<int>(columns.groups()), 1, columns.group_width()};
  while (shape.lanes < kWarp && shape.lanes * kQuads * kQuad < shape.group_width) shape.lanes *= 2;
  return shape;
}
int group_threads(const GroupShape& shape) {
  return static_cast<int>(round_up(shape.groups * shape.lanes, kWarp));
}

// As RowSpan, with tiles that begin at 0 in each group.
struct GroupSpan {
  GroupShape shape;
  int group, lane;

  __device__ __forceinline__ explicit GroupSpan(const GroupShape& of)
      : shape(of),
        group(static_cast<int>(threadIdx.x) / of.lanes),
        lane(static_cast<int>(threadIdx.x) % of.lanes) {}
  __device__ __forceinline__ bool is_leader() const { return lane == 0 && group < shape.groups; }
  __device__ __forceinline__ std::int64_t tile_columns() const {
    return std::int64_t{kQuads * kQuad} * shape.lanes;
  }
  __device__ __forceinline__ std::int64_t column(std::int64_t tile, int k) const {
    return group * shape.group_width + tile + (std::int64_t{k} * shape.lanes + lane) * kQuad;
  }
  __device__ __forceinline__ std::int64_t columns(std::int64_t column) const {
    return group < shape.groups ? (group + 1) * shape.group_width - column : 0;
  }
  // Over the group's lanes; every lane of the warp calls it.
  __device__ __forceinline__ float sum(float x) const {
    for (int offset = shape.lanes / 2; offset > 0; offset /= 2) {
      x += __shfl_xor_sync(kAllLanes, x, offset);
    }
    return x;
  }
};

__device__ __forceinline__ void add_squares(const Quads& x, float& square) {
#pragma unroll
  for (int k = 0; k < kQuads; ++k) {
#pragma unroll
    for (int c = 0; c < kQuad; ++c) square = fused_multiply_add(x[k][c], x[k][c], square);
  }
}

__device__ __forceinline__ bool has_one_lookup(const GradientLookups& lookups, std::int64_t row) {
  return lookups.offsets[row + 1] - lookups.offsets[row] == 1;
}

// Squared norms of tokens' vectors, [groups, count]. of_rows: norms[i] is that of the token that
// row i's one look-up is of, and is left alone where a row has several; else norms[i] is token i's.
// The same code for both, so that a row's norm has the same bits whichever of them its chunk takes.
template <typename Vector, bool kWhole>
__global__ void __launch_bounds__(kMaxRowThreads, kWhole ? kTokenBlocks : 1)
    token_norms_kernel(GradientLookups lookups, GroupShape shape, bool of_rows, std::int64_t count,
                       int block_rows, float* norms) {
  __shared__ std::uint32_t tokens[kBlockRows];
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
  const GroupSpan span(shape);
  for (int i = 0; i < rows; ++i) {
    if (tokens[i] == kNoToken) continue;
    const Vector* row = row_at(static_cast<const Vector*>(lookups.vectors), tokens[i],
                               lookups.width * static_cast<std::uint32_t>(sizeof(Vector)));
    float square = 0;
    for (std::int64_t tile = 0; tile < shape.group_width; tile += span.tile_columns()) {
      Quads x;
#pragma unroll
      for (int k = 0; k < kQuads; ++k) {
        for (int c = 0; c < kQuad; ++c) x[k][c] = 0;
        const std::int64_t column = span.column(tile, k);
        load_quad<kWhole>(row + column, span.columns(column), x[k]);
      }
      add_squares(x, square);
    }
    square = span.sum(square);
    if (span.is_leader()) norms[span.group * count + first + i] = square;
  }
}

// Where token_norms_kernel has left its norms. A parameter of kernels.
struct TokenNorms {
  const float* norms;
  std::int64_t count;
  bool of_rows;
};

// Writes the norms of a row with one look-up; false where vectors have to be read: for several
// look-ups, and for one where a group's squares overflow that may not with their factor.
__device__ bool norm_by_token(const GradientLookups& lookups, const TokenNorms& token_norms,
                              int groups, std::int64_t row, std::int64_t count,
                              float* square_norms) {
  if (!has_one_lookup(lookups, row)) return false;
  const GradientTerm term = gradient_term(lookups, lookups.offsets[row]);
  bool finite = true;
  for (int g = 0; g < groups; ++g) {
    const float square =
        token_norms.norms[g * token_norms.count + (token_norms.of_rows ? row : term.token)];
    square_norms[g * count + row] = term.factor * square * term.factor;
    finite = finite && isfinite(square);
  }
  return finite;
}

// Whether norm_by_token's way holds for a group of a row.
__device__ __forceinline__ bool is_by_token(const GradientLookups& lookups,
                                            const TokenNorms& token_norms, int group,
                                            std::int64_t row) {
  if (!has_one_lookup(lookups, row)) return false;
  const std::int64_t place =
      token_norms.of_rows ? row : gradient_term(lookups, lookups.offsets[row]).token;
  return isfinite(token_norms.norms[group * token_norms.count + place]);
}

template <typename Vector, bool kWhole>
__global__ void __launch_bounds__(kMaxRowThreads, kWhole ? kResidentBlocks : 1)
    square_norms_kernel(GradientLookups lookups, GroupShape shape, TokenNorms token_norms,
                        std::int64_t count, int block_rows, float* square_norms) {
  __shared__ std::uint32_t offsets[kNormRows][2];
  __shared__ unsigned left_over;  // a bit for each row whose vectors are read
  __shared__ GradientTerm terms[kWindow];
  const std::int64_t first = std::int64_t{blockIdx.x} * block_rows;
  const auto rows = static_cast<int>(min(std::int64_t{block_rows}, count - first));
  const auto thread = static_cast<int>(threadIdx.x);
  if (thread < kWarp) {
    bool known = true;
    if (thread < rows) {
      offsets[thread][0] = lookups.offsets[first + thread];
      offsets[thread][1] = lookups.offsets[first + thread + 1];
      known =
          norm_by_token(lookups, token_norms, shape.groups, first + thread, count, square_norms);
    }
    const unsigned unknown = __ballot_sync(kAllLanes, !known);
    if (thread == 0) left_over = unknown;
  }
  __syncthreads();
  const GroupSpan span(shape);
  LookupWindow window{terms, offsets[rows - 1][1]};
  for (unsigned left = left_over; left != 0; left &= left - 1) {
    const int i = __ffs(static_cast<int>(left)) - 1;
    float square = 0;
    for (std::int64_t tile = 0; tile < shape.group_width; tile += span.tile_columns()) {
      Quads sum;
      sum_gradient<kNormInFlight, Vector, kWhole>(lookups, window, offsets[i][0], offsets[i][1],
                                                  span, tile, sum);
      add_squares(sum, square);
    }
    square = span.sum(square);
    if (span.is_leader() && !is_by_token(lookups, token_norms, span.group, first + i)) {
      square_norms[span.group * count + first + i] = square;
    }
  }
}

}  // namespace

GradientLookups prepare_gradient(Operation& operation, const RowGradient& gradient, int part,
                                 std::int64_t first, std::int64_t count,
                                 const StandingGradient& standing) {
  const GroupedLookups& grouped = gradient.grouped;
  CHECK(part >= 0 && part < gradient.part_count && gradient.part_count <= kMaxRowParts);
  const GradientPart& of = gradient.parts[part];
  CHECK(of.columns.is_valid() && of.columns.count < std::uint32_t{1} << 29);
  CHECK(grouped.lookups_per_token >= 1 && grouped.offsets != nullptr && grouped.order != nullptr);
  CHECK(first >= 0 && count >= 0);
  GradientLookups lookups{grouped.offsets + first,
                          grouped.order,
                          of.factors,
                          of.vectors,
                          nullptr,
                          static_cast<std::uint32_t>(grouped.lookups_per_token),
                          of.columns.count,
                          grouped.lookups / grouped.lookups_per_token,
                          of.type,
                          of.columns};
  if (count > 0) {
    lookups.popular_sums = sum_popular_rows(operation, lookups, grouped, first, count, standing);
  }
  return lookups;
}

void launch_square_norms(Operation& operation, const GradientLookups& lookups, std::int64_t count,
                         float* square_norms) {
  if (count == 0) return;
  // A few rows look up few of the tokens.
  const bool of_rows = count < lookups.tokens;
  const std::int64_t norms = of_rows ? count : lookups.tokens;
  const GroupShape shape = group_shape(lookups.columns);
  const int threads = group_threads(shape);
  auto* token_norms = operation.take<float>(norms * shape.groups);
  const int tokens_per_block = rows_per_block(norms), rows = rows_per_block(count, kNormRows);
  with_float_type(lookups.type, [&](auto type) {
    using Vector = decltype(type);
    with_bool(is_whole(lookups), [&](auto whole) {
      constexpr bool kWhole = decltype(whole)::value;
      operation.launch({blocks_for(norms, tokens_per_block), threads},
                       token_norms_kernel<Vector, kWhole>, lookups, shape, of_rows, norms,
                       tokens_per_block, token_norms);
      operation.launch({blocks_for(count, rows), threads}, square_norms_kernel<Vector, kWhole>,
                       lookups, shape, TokenNorms{token_norms, norms, of_rows}, count, rows,
                       square_norms);
    });
  });
}

void CudaBackend::row_gradient_norms(Stream& stream, const RowGradient& gradient,
                                     std::int64_t first, std::int64_t count, float* square_norms) {
  Operation operation(stream, "row_gradient_norms");
  for (int part = 0; part < gradient.part_count; ++part) {
    const GradientLookups lookups = prepare_gradient(operation, gradient, part, first, count);
    launch_square_norms(operation, lookups, count, square_norms);
    square_norms += std::int64_t{lookups.columns.groups()} * count;
  }
}

}  // namespace mneme::kernels::cuda
