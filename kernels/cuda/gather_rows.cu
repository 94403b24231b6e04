// Operation gather_rows of the CUDA backend: each token's weighted sum of rows.
//
// A block has one token, or several where rows are narrow; each thread owns the columns of one
// 16-byte access and adds up the token's rows one after the other, with kRowsInFlight reads under
// way. Wide rows are shared by several blocks. The bytes that count are the rows' own.
#include <algorithm>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/operation.h"
#include "kernels/cuda/row_columns.h"
#include "kernels/cuda/token_range.h"
#include "kernels/row_checks.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kRowsInFlight = 8;
constexpr int kMaxThreads = 256;
// Of a multiprocessor. Named, it leaves each thread the registers that its reads under way need;
// left to itself, the compiler takes fewer and reads row after row.
constexpr int kResidentBlocks = 3;
// Threads of a block whose tokens need fewer.
constexpr int kSharedThreads = 128;
constexpr std::int64_t kMaxBatch = 128;  // lookups staged at once
// Enough blocks that the device is never idle; with fewer, tokens are cut into smaller tiles.
constexpr std::int64_t kManyBlocks = 1024;

struct GatherShape {
  std::int64_t tokens;
  std::uint32_t width;
  int lanes;  // threads that a token has in a block
  int tiles;  // blocks that share a token
  int batch;  // lookups staged at once
};

GatherShape gather_shape(std::int64_t tokens, std::uint32_t width, std::int64_t lookups_per_token,
                         int vector) {
  const std::int64_t vectors = blocks_for(width, vector);
  std::int64_t lanes = 4, tiles = 1;
  while (lanes < vectors && lanes < kWarp) lanes *= 2;
  if (vectors > kWarp) {
    tiles = blocks_for(vectors, kMaxThreads);
    while (tokens * tiles < kManyBlocks && tiles * kWarp < vectors) tiles *= 2;
    lanes = round_up(blocks_for(vectors, tiles), kWarp);
    tiles = blocks_for(vectors, lanes);
  }
  return {tokens, width, static_cast<int>(lanes), static_cast<int>(tiles),
          static_cast<int>(std::min(kMaxBatch, lookups_per_token))};
}

// sum += weight * row for kRows rows, one after the other.
template <int kRows, bool kWhole, typename Value>
__device__ __forceinline__ void add_rows(const StagedLookup* staged, const Value* values,
                                         std::uint32_t row_bytes, int columns,
                                         float (&sum)[kVector<Value>]) {
  uint4 raw[kRows];
  float weights[kRows];
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const StagedLookup lookup = staged[i];
    weights[i] = bits_float(lookup.word);
    raw[i] = load_vector<kWhole>(row_at(values, lookup.slot, row_bytes), columns);
  }
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    float x[kVector<Value>];
    expand_vector(raw[i], x);
#pragma unroll
    for (int c = 0; c < kVector<Value>; ++c) sum[c] = fused_multiply_add(weights[i], x[c], sum[c]);
  }
}

template <bool kWhole, typename Value>
__device__ __forceinline__ void add_range(const StagedLookup* staged, StagedRange range,
                                          const Value* values, std::uint32_t row_bytes, int columns,
                                          float (&sum)[kVector<Value>]) {
  int at = range.begin;
  for (; at + kRowsInFlight <= range.end; at += kRowsInFlight) {
    add_rows<kRowsInFlight, kWhole>(staged + at, values, row_bytes, columns, sum);
  }
  const int rest = range.end - at;
  if ((rest & 4) != 0) {
    add_rows<4, kWhole>(staged + at, values, row_bytes, columns, sum);
    at += 4;
  }
  if ((rest & 2) != 0) {
    add_rows<2, kWhole>(staged + at, values, row_bytes, columns, sum);
    at += 2;
  }
  if ((rest & 1) != 0) add_rows<1, kWhole>(staged + at, values, row_bytes, columns, sum);
}

// A thread's columns of y.
template <bool kWhole, int kColumnCount>
__device__ __forceinline__ void load_sums(const float* y, int columns, float (&sum)[kColumnCount]) {
#pragma unroll
  for (int c = 0; c < kColumnCount; c += kQuad) {
    float x[kQuad] = {};
    load_quad<kWhole>(y + c, columns - c, x);
#pragma unroll
    for (int i = 0; i < kQuad; ++i) sum[c + i] = x[i];
  }
}
template <bool kWhole, int kColumnCount>
__device__ __forceinline__ void store_sums(float* y, int columns,
                                           const float (&sum)[kColumnCount]) {
#pragma unroll
  for (int c = 0; c < kColumnCount; c += kQuad) {
    const float x[kQuad] = {sum[c], sum[c + 1], sum[c + 2], sum[c + 3]};
    store_quad<kWhole>(y + c, columns - c, x);
  }
}

template <typename Value, bool kWhole>
__global__ void __launch_bounds__(kMaxThreads, kResidentBlocks)
    gather_rows_kernel(TokenLookups lookups, const Value* values, float* y, GatherShape shape) {
  const int group = static_cast<int>(threadIdx.x) / shape.lanes;
  const int lane = static_cast<int>(threadIdx.x) % shape.lanes;
  const int groups = static_cast<int>(blockDim.x) / shape.lanes;
  const std::int64_t token = std::int64_t{blockIdx.x} / shape.tiles * groups + group;
  const std::int64_t column =
      (std::int64_t{blockIdx.x} % shape.tiles * shape.lanes + lane) * kVector<Value>;
  const auto columns = static_cast<int>(shape.width - column);  // <= 0: none
  const std::uint32_t row_bytes = shape.width * static_cast<std::uint32_t>(sizeof(Value));
  StagedLookup* staged = dynamic_shared<StagedLookup>() + group * shape.batch;

  float* y_columns = y + token * shape.width + column;
  float sum[kVector<Value>] = {};
  bool touched = false;
  for (std::int64_t start = 0; start < lookups.lookups_per_token; start += shape.batch) {
    const auto n =
        static_cast<int>(min(std::int64_t{shape.batch}, lookups.lookups_per_token - start));
    if (start != 0) __syncthreads();
    if (token < shape.tokens) stage_lookups(lookups, token, start, n, lane, shape.lanes, staged);
    __syncthreads();
    if (token >= shape.tokens || columns <= 0) continue;
    const StagedRange range = range_in_chunk(staged, n);
    if (range.begin == range.end) continue;
    if (!touched) load_sums<kWhole>(y_columns, columns, sum);
    touched = true;
    add_range<kWhole>(staged, range, values + column, row_bytes, columns, sum);
  }
  if (touched) store_sums<kWhole>(y_columns, columns, sum);
}

}  // namespace

void CudaBackend::gather_rows(Stream& stream, const RowArena& arena, const GatherArgs& args) {
  const GroupedLookups& grouped = args.grouped;
  check_part(arena, args.part);
  const ArenaPart part(arena, args.part);
  CHECK(part.width() < std::int64_t{1} << 29);
  CHECK(grouped.token_order != nullptr && grouped.lookups_per_token >= 1);
  CHECK(args.first >= 0 && args.count >= 0);
  Operation operation(stream, "gather_rows");
  if (args.count == 0) return;
  with_float_type(part.layout.value_type, [&](auto type) {
    using Value = decltype(type);
    const GatherShape shape =
        gather_shape(grouped.lookups / grouped.lookups_per_token, part.layout.columns.count,
                     grouped.lookups_per_token, kVector<Value>);
    // Tokens that are cut into tiles are few: their warps are better off on many multiprocessors.
    const int groups = shape.tiles > 1 ? 1 : std::max(1, kSharedThreads / shape.lanes);
    const int threads = shape.lanes * groups;
    const bool whole = shape.width % kVector<Value> == 0 && is_aligned(part.arrays.values, 16) &&
                       is_aligned(args.y, 16);
    with_bool(whole, [&](auto is_whole) {
      operation.launch({blocks_for(shape.tokens, groups) * shape.tiles, threads,
                        static_cast<std::size_t>(groups) * static_cast<std::size_t>(shape.batch) *
                            sizeof(StagedLookup)},
                       gather_rows_kernel<Value, decltype(is_whole)::value>,
                       token_lookups(grouped, args.slots, args.weights, args.first, args.count),
                       static_cast<const Value*>(part.arrays.values), args.y, shape);
    });
  });
}

}  // namespace mneme::kernels::cuda
