// Operation lookup_dot of the CUDA backend: the gradient of each lookup's weight.
//
// Some lanes of a warp work on a few lookups at once: each column group has some of them. A lane
// adds up the products of every so many-th 16-byte piece of its group, one after the other; then
// the sums of a group's lanes are added as a tree, and those of the groups as another: an order
// that depends on the width of a group (and the type) alone. Both kernels share it.
#include <algorithm>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/operation.h"
#include "kernels/cuda/row_columns.h"
#include "kernels/cuda/token_range.h"
#include "kernels/row_checks.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kThreads = 128;
// Named, so that the compiler spends registers on reads under way.
constexpr int kResidentBlocks = 5;
constexpr int kTokenRows = 8;  // rows of one token that some lanes have in hand
constexpr int kPairs = 2;      // rows with a token each
constexpr std::int64_t kMaxBatch = 256;
// Wider rows' d_y does not fit into shared memory beside the lookups.
constexpr std::int64_t kMaxStagedWidth = 48 << 10;

struct DotShape {
  std::uint32_t width;
  int vectors;        // 16-byte pieces of a row, rounded up
  int group_vectors;  // of a column group
  int group_lanes;    // that work on one, a power of two
  int lanes;          // of a lookup: for all groups of the range; a power of two up to 32
  int batch;          // lookups staged at once
};

DotShape dot_shape(const ColumnRange& columns, int vector, std::int64_t lookups_per_token) {
  const auto groups = static_cast<int>(columns.groups());
  const int most = kWarp / static_cast<int>(columns.all_groups());
  DotShape shape{columns.count,
                 static_cast<int>(blocks_for(columns.count, vector)),
                 static_cast<int>(blocks_for(columns.group_width(), vector)),
                 1,
                 groups,
                 static_cast<int>(std::min(kMaxBatch, lookups_per_token))};
  while (shape.group_lanes < shape.group_vectors && shape.group_lanes < most) {
    shape.group_lanes *= 2;
    shape.lanes *= 2;
  }
  return shape;
}

// A lane's vectors: first, first + step, ... below end.
struct LaneVectors {
  int first, end, step;
};
__device__ __forceinline__ LaneVectors vectors_of(const DotShape& shape, int lane) {
  const int begin = lane / shape.group_lanes * shape.group_vectors;
  return {begin + lane % shape.group_lanes, begin + shape.group_vectors, shape.group_lanes};
}

// sum plus the products of one vector's columns, in ascending order.
template <int kColumnCount>
__device__ __forceinline__ float add_products(const uint4& raw, const float (&x)[kColumnCount],
                                              float sum) {
  float value[kColumnCount];
  expand_vector(raw, value);
#pragma unroll
  for (int c = 0; c < kColumnCount; ++c) sum = fused_multiply_add(x[c], value[c], sum);
  return sum;
}

// The sum over a lookup's lanes, by column groups; every lane of the warp calls it.
__device__ __forceinline__ float sum_of_lanes(float x, const DotShape& shape) {
  for (int offset = shape.group_lanes / 2; offset > 0; offset /= 2) {
    x += __shfl_xor_sync(kAllLanes, x, offset);
  }
  for (int offset = shape.group_lanes; offset < shape.lanes; offset *= 2) {
    x += __shfl_xor_sync(kAllLanes, x, offset);
  }
  return x;
}

// ---- rows of one token ----

// d_y of a token in shared memory: quad q of vector v lies at [q, v], so that a warp reads
// neighbouring 16 bytes.
template <int kPlanes>
__device__ __forceinline__ float4* staged_quad(float4* staged, int vectors, std::int64_t quad) {
  return staged + quad % kPlanes * vectors + quad / kPlanes;
}

template <bool kWhole, int kPlanes>
__device__ __forceinline__ void stage_gradient(const float* d_y, const DotShape& shape,
                                               float4* staged) {
  for (std::int64_t quad = threadIdx.x; quad < std::int64_t{kPlanes} * shape.vectors;
       quad += kThreads) {
    float x[kQuad] = {};
    load_quad<kWhole>(d_y + quad * kQuad, std::int64_t{shape.width} - quad * kQuad, x);
    *staged_quad<kPlanes>(staged, shape.vectors, quad) = make_float4(x[0], x[1], x[2], x[3]);
  }
}

// The products of kTokenRows staged lookups from `at` on with the staged gradient; those beyond
// `end` repeat the last one.
template <bool kWhole, typename Value>
__device__ __forceinline__ void dot_rows(const StagedLookup* lookups, int at, int end,
                                         const Value* values, float4* gradient, int lane,
                                         const DotShape& shape, float (&sums)[kTokenRows]) {
  constexpr int kPlanes = kVector<Value> / kQuad;
  const std::uint32_t row_bytes = shape.width * static_cast<std::uint32_t>(sizeof(Value));
  SlotId slots[kTokenRows];
#pragma unroll
  for (int r = 0; r < kTokenRows; ++r) slots[r] = lookups[min(at + r, end - 1)].slot;
  const LaneVectors own = vectors_of(shape, lane);
#pragma unroll 1
  for (int v = own.first; v < own.end; v += own.step) {
    const Value* column = values + v * kVector<Value>;
    const int columns = static_cast<int>(shape.width) - v * kVector<Value>;
    uint4 raw[kTokenRows];
#pragma unroll
    for (int r = 0; r < kTokenRows; ++r) {
      raw[r] = load_vector<kWhole>(row_at(column, slots[r], row_bytes), columns);
    }
    float x[kVector<Value>];
#pragma unroll
    for (int q = 0; q < kPlanes; ++q) {
      const float4 quad = gradient[q * shape.vectors + v];
      x[4 * q] = quad.x, x[4 * q + 1] = quad.y, x[4 * q + 2] = quad.z, x[4 * q + 3] = quad.w;
    }
#pragma unroll
    for (int r = 0; r < kTokenRows; ++r) sums[r] = add_products(raw[r], x, sums[r]);
  }
}

// A block a token.
template <typename Value, bool kWhole>
__global__ void __launch_bounds__(kThreads, kResidentBlocks)
    dot_tokens_kernel(TokenLookups lookups, const Value* values, const float* d_y, float* d_weights,
                      DotShape shape) {
  constexpr int kPlanes = kVector<Value> / kQuad;
  auto* gradient = dynamic_shared<float4>();
  auto* staged = reinterpret_cast<StagedLookup*>(gradient + kPlanes * shape.vectors);
  const std::int64_t token = blockIdx.x;
  const int lane = static_cast<int>(threadIdx.x) % shape.lanes;
  const int group = static_cast<int>(threadIdx.x) / shape.lanes;
  const int step = kThreads / shape.lanes * kTokenRows;
  stage_gradient<kWhole, kPlanes>(d_y + token * shape.width, shape, gradient);
  for (std::int64_t start = 0; start < lookups.lookups_per_token; start += shape.batch) {
    const auto n =
        static_cast<int>(min(std::int64_t{shape.batch}, lookups.lookups_per_token - start));
    if (start != 0) __syncthreads();
    stage_lookups(lookups, token, start, n, static_cast<int>(threadIdx.x), kThreads, staged);
    __syncthreads();
    const StagedRange range = range_in_chunk(staged, n);
    // The same number of rounds for all lanes of a warp: they add up their sums together.
    for (int first = range.begin; first < range.end; first += step) {
      const int at = first + group * kTokenRows;
      float sums[kTokenRows] = {};
      if (at < range.end) {
        dot_rows<kWhole>(staged, at, range.end, values, gradient, lane, shape, sums);
      }
#pragma unroll
      for (int r = 0; r < kTokenRows; ++r) {
        const float sum = sum_of_lanes(sums[r], shape);
        if (lane == 0 && at + r < range.end) d_weights[staged[at + r].word] = sum;
      }
    }
  }
}

// ---- without token_order ----

// A parameter of the kernel: the chunk's lookups sorted by row.
struct SortedLookups {
  const std::uint32_t* offsets;
  const std::uint32_t* order;
  const std::uint32_t* unique_index;
  const SlotId* slots;
  std::uint32_t lookups_per_token;
  std::int64_t first, count;
};

template <bool kWhole, typename Value>
__device__ __forceinline__ float dot_pair(const Value* row, const float* d_y, int lane,
                                          const DotShape& shape) {
  float sum = 0;
  const LaneVectors own = vectors_of(shape, lane);
#pragma unroll 2
  for (int v = own.first; v < own.end; v += own.step) {
    const int column = v * kVector<Value>, columns = static_cast<int>(shape.width) - column;
    const uint4 raw = load_vector<kWhole>(row + column, columns);
    float x[kVector<Value>];
#pragma unroll
    for (int c = 0; c < kVector<Value>; c += kQuad) {
      float quad[kQuad] = {};
      load_quad<kWhole>(d_y + column + c, columns - c, quad);
#pragma unroll
      for (int i = 0; i < kQuad; ++i) x[c + i] = quad[i];
    }
    sum = add_products(raw, x, sum);
  }
  return sum;
}

// Lookups in the order of rows, kPairs at a time, so that a popular row's lookups are shared by all
// warps.
template <typename Value, bool kWhole>
__global__ void __launch_bounds__(kThreads, kResidentBlocks)
    dot_sorted_kernel(SortedLookups lookups, const Value* values, const float* d_y,
                      float* d_weights, DotShape shape) {
  const std::uint32_t row_bytes = shape.width * static_cast<std::uint32_t>(sizeof(Value));
  const int lane = static_cast<int>(threadIdx.x) % shape.lanes;
  const std::int64_t begin = lookups.offsets[lookups.first];
  const std::int64_t end = lookups.offsets[lookups.first + lookups.count];
  const int groups = kThreads / shape.lanes;
  const int group = static_cast<int>(threadIdx.x) / shape.lanes;
  for (std::int64_t block = begin + std::int64_t{blockIdx.x} * groups * kPairs; block < end;
       block += std::int64_t{gridDim.x} * groups * kPairs) {
    const std::int64_t at = block + group * kPairs;
    float sums[kPairs] = {};
    std::uint32_t indices[kPairs] = {};
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      if (at + i >= end) continue;
      indices[i] = lookups.order[at + i];
      const std::uint32_t row = lookups.unique_index[indices[i]];
      const SlotId slot = lookups.slots[row - lookups.first];
      const std::uint32_t token = indices[i] / lookups.lookups_per_token;
      sums[i] = dot_pair<kWhole>(row_at(values, slot, row_bytes),
                                 d_y + std::int64_t{token} * shape.width, lane, shape);
    }
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const float sum = sum_of_lanes(sums[i], shape);
      if (lane == 0 && at + i < end) d_weights[indices[i]] = sum;
    }
  }
}

constexpr std::int64_t kSortedBlocks = 2048;  // more than the device runs at once

template <typename Value, bool kWhole>
void launch_dot(Operation& operation, const Value* values, const LookupDotArgs& args,
                const ColumnRange& columns) {
  const GroupedLookups& grouped = args.grouped;
  const DotShape shape = dot_shape(columns, kVector<Value>, grouped.lookups_per_token);
  if (grouped.token_order != nullptr && shape.width <= kMaxStagedWidth) {
    const std::size_t shared = static_cast<std::size_t>(shape.vectors) * kVector<Value> * 4 +
                               static_cast<std::size_t>(shape.batch) * sizeof(StagedLookup);
    operation.launch({grouped.lookups / grouped.lookups_per_token, kThreads, shared},
                     dot_tokens_kernel<Value, kWhole>,
                     token_lookups(grouped, args.slots, nullptr, args.first, args.count), values,
                     args.d_y, args.d_weights, shape);
    return;
  }
  const std::int64_t blocks = blocks_for(grouped.lookups, kThreads / shape.lanes * kPairs);
  operation.launch(
      {std::min(blocks, kSortedBlocks), kThreads}, dot_sorted_kernel<Value, kWhole>,
      SortedLookups{grouped.offsets, grouped.order, grouped.unique_index, args.slots,
                    static_cast<std::uint32_t>(grouped.lookups_per_token), args.first, args.count},
      values, args.d_y, args.d_weights, shape);
}

}  // namespace

void CudaBackend::lookup_dot(Stream& stream, const RowArena& arena, const LookupDotArgs& args) {
  check_part(arena, args.part);
  const ArenaPart part(arena, args.part);
  const std::uint32_t width = part.layout.columns.count;
  CHECK(width < std::uint32_t{1} << 29);
  CHECK(args.grouped.lookups_per_token >= 1 && args.first >= 0 && args.count >= 0);
  Operation operation(stream, "lookup_dot");
  if (args.count == 0) return;
  with_float_type(part.layout.value_type, [&](auto type) {
    using Value = decltype(type);
    const bool whole = width % static_cast<std::uint32_t>(kVector<Value>) == 0 &&
                       is_aligned(part.arrays.values, 16) && is_aligned(args.d_y, 16);
    with_bool(whole, [&](auto is_whole) {
      launch_dot<Value, decltype(is_whole)::value>(
          operation, static_cast<const Value*>(part.arrays.values), args, part.layout.columns);
    });
  });
}

}  // namespace mneme::kernels::cuda
