// The gradient of one part of a row as kernels work it out: the sum of factor * vector over the
// row's lookups in ascending order, one fused multiply-add after the other for each column.
// accumulate_gradient, row_gradient_norms and update_rows all take it from here, so that the norm
// is that of the gradient that is applied, to rounding.
//
// A block sums one row at a time (row_columns.h). Rows with more than kPopular lookups would hold
// their block up, so sum_popular_rows() adds those up first, a column a thread, into a buffer that
// sum_gradient() reads: the same sums in the same order.
#pragma once

#include <cstdint>

#include "kernels/cuda/operation.h"
#include "kernels/cuda/row_columns.h"

namespace mneme::kernels::cuda {

inline constexpr std::uint32_t kPopular = 1024;

// What a chunk's rows have been given before their lookups are added up: the gradient array of an
// arena. A parameter of kernels.
struct StandingGradient {
  float* gradient;  // [slots, width]; null: nothing
  const SlotId* slots;
  const std::uint8_t* is_first;  // 1 where what stands there counts as 0
};

// A parameter of kernels.
struct GradientLookups {
  const std::uint32_t* offsets;  // [count + 1], of the chunk's rows
  const std::uint32_t* order;    // [lookups]
  const float* factors;          // [lookups]; null: 1
  const void* vectors;           // [tokens, width] of `type`
  // [lookups / kPopular, width]: the sum of a row whose lookups start at position p of `order` is
  // at p / kPopular, where there is no other. Null when no row can be popular.
  const float* popular_sums;
  std::uint32_t lookups_per_token;
  std::uint32_t width;
  std::int64_t tokens;
  FloatType type;
  ColumnRange columns;
};

// Checks the arguments, queues the sums of the chunk's popular rows, with what stands in the rows
// already, and says where everything is.
GradientLookups prepare_gradient(Operation& operation, const RowGradient& gradient, int part,
                                 std::int64_t first, std::int64_t count,
                                 const StandingGradient& standing = {});

// square_norms[g * count + i] = squared norm of row i's gradient over column group g of the range,
// up to rounding: a row with one look-up takes its factor squared times its token's norm. The bits
// depend on the group's columns of the row's look-ups alone.
void launch_square_norms(Operation& operation, const GradientLookups& lookups, std::int64_t count,
                         float* square_norms);

inline bool is_whole(const GradientLookups& lookups) {
  return lookups.width % kQuad == 0 && is_aligned(lookups.vectors, 16);
}

#if defined(__CUDACC__) || defined(MNEME_CUDA_EMULATED)

struct __align__(8) GradientTerm {
  std::uint32_t token;
  float factor;
};

__device__ __forceinline__ GradientTerm gradient_term(const GradientLookups& lookups,
                                                      std::uint32_t position) {
  const std::uint32_t lookup = lookups.order[position];
  return {lookup / lookups.lookups_per_token,
          lookups.factors != nullptr ? lookups.factors[lookup] : 1.0f};
}

// The lookups of a block's rows in shared memory, a window of them at a time: what leads to a
// gradient (order, weight) is read for many rows at once.
inline constexpr std::uint32_t kWindow = 256;
struct LookupWindow {
  GradientTerm* terms;      // shared, [kWindow]
  std::uint32_t end;        // where the lookups of the block's last row end
  std::uint32_t begin = 0;  // positions [begin, begin + count) are in the window
  std::uint32_t count = 0;

  __device__ __forceinline__ bool holds(std::uint32_t position) const {
    return position - begin < count;
  }
  // Every thread of the block calls it.
  __device__ __forceinline__ void move_to(const GradientLookups& lookups, std::uint32_t position) {
    begin = position;
    count = min(kWindow, end - position);
    __syncthreads();
    for (std::uint32_t i = threadIdx.x; i < count; i += blockDim.x) {
      terms[i] = gradient_term(lookups, begin + i);
    }
    __syncthreads();
  }
};

// Span, below: which columns are the thread's (column(), columns()), as RowSpan.

// sum += factor * vector for kTerms lookups, one after the other.
template <int kTerms, typename Vector, bool kWhole, typename Span>
__device__ __forceinline__ void add_terms(const GradientLookups& lookups, const GradientTerm* terms,
                                          const Span& span, std::int64_t tile, Quads& sum) {
  float factors[kTerms], x[kTerms][kQuads][kQuad];
#pragma unroll
  for (int i = 0; i < kTerms; ++i) {
    const GradientTerm term = terms[i];
    const Vector* row = row_at(static_cast<const Vector*>(lookups.vectors), term.token,
                               lookups.width * static_cast<std::uint32_t>(sizeof(Vector)));
    factors[i] = term.factor;
#pragma unroll
    for (int k = 0; k < kQuads; ++k) {
      const std::int64_t column = span.column(tile, k);
      for (int c = 0; c < kQuad; ++c) x[i][k][c] = 0;
      load_quad<kWhole>(row + column, span.columns(column), x[i][k]);
    }
  }
#pragma unroll
  for (int i = 0; i < kTerms; ++i) {
#pragma unroll
    for (int k = 0; k < kQuads; ++k) {
#pragma unroll
      for (int c = 0; c < kQuad; ++c) {
        sum[k][c] = fused_multiply_add(factors[i], x[i][k][c], sum[k][c]);
      }
    }
  }
}

// kInFlight, a power of two: lookups whose vector is read before any is added.
template <int kInFlight, typename Vector, bool kWhole, typename Span>
__device__ __forceinline__ void add_window(const GradientLookups& lookups,
                                           const GradientTerm* terms, std::uint32_t n,
                                           const Span& span, std::int64_t tile, Quads& sum) {
  std::uint32_t at = 0;
#pragma unroll 1
  for (; at + kInFlight <= n; at += kInFlight) {
    add_terms<kInFlight, Vector, kWhole>(lookups, terms + at, span, tile, sum);
  }
  if constexpr (kInFlight > 1) {
    if (at < n) {
      add_window<kInFlight / 2, Vector, kWhole>(lookups, terms + at, n - at, span, tile, sum);
    }
  }
}

// Adds the terms of a row whose lookups are [begin, end) to the thread's quads of a tile; a popular
// row's sum takes their place. Every thread of the block calls it with the same row.
template <int kInFlight, typename Vector, bool kWhole, typename Span>
__device__ __forceinline__ void add_gradient(const GradientLookups& lookups, LookupWindow& window,
                                             std::uint32_t begin, std::uint32_t end,
                                             const Span& span, std::int64_t tile, Quads& sum) {
  if (end - begin > kPopular) {
    const float* sums = row_at(lookups.popular_sums, begin / kPopular, lookups.width * 4);
#pragma unroll
    for (int k = 0; k < kQuads; ++k) {
      const std::int64_t column = span.column(tile, k);
      load_quad<kWhole>(sums + column, span.columns(column), sum[k]);
    }
    return;
  }
  for (std::uint32_t at = begin; at < end;) {
    if (!window.holds(at)) window.move_to(lookups, at);
    const std::uint32_t offset = at - window.begin, n = min(end - at, window.count - offset);
    add_window<kInFlight, Vector, kWhole>(lookups, window.terms + offset, n, span, tile, sum);
    at += n;
  }
}

// The gradient of that row; columns outside the range give 0.
template <int kInFlight, typename Vector, bool kWhole, typename Span>
__device__ __forceinline__ void sum_gradient(const GradientLookups& lookups, LookupWindow& window,
                                             std::uint32_t begin, std::uint32_t end,
                                             const Span& span, std::int64_t tile, Quads& sum) {
#pragma unroll
  for (int k = 0; k < kQuads; ++k) {
    for (int c = 0; c < kQuad; ++c) sum[k][c] = 0;
  }
  add_gradient<kInFlight, Vector, kWhole>(lookups, window, begin, end, span, tile, sum);
}

#endif

}  // namespace mneme::kernels::cuda
