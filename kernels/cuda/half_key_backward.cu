// Operation half_key_backward of the CUDA backend: from the gradients of the selected scores to
// queries and half-keys.
//
// A half-key's gradient sums its lookups in ascending (token, position). The lookups of each side,
// a (head, half), are sorted by half-key, and a warp sums a tile of 256 sorted lookups, whosever
// they are, so that a popular key costs no more than many others. Sums of keys that lie within one
// tile are added to d_keys at once; parts of those that cross into other tiles are kept and added
// up in the order of the tiles. Both big kernels go side after side, so that what they gather, the
// keys or queries of one side, stays in the L2 cache.
#include "kernels/cuda/column_block.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device_math.h"
#include "kernels/cuda/operation.h"
#include "kernels/cuda/radix_sort.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kTile = 256;  // sorted lookups of one warp
constexpr int kFlight = 8;  // rows that a warp waits for at a time
constexpr std::int64_t kMaxKnn = 128;

__device__ __forceinline__ std::uint32_t half_of(RowId row, int half, std::uint32_t half_keys) {
  return half == 0 ? row / half_keys : row % half_keys;
}

// The index of the calling warp along blockIdx.x.
__device__ __forceinline__ std::int64_t warp_of_grid() {
  return std::int64_t{blockIdx.x} * kWarps + static_cast<int>(threadIdx.x) / kWarp;
}

// sum += weight * row of each lane below count, in that order.
template <int kWide>
__device__ __forceinline__ void add_rows(const ColumnBlock<kWide>& columns, const float* row,
                                         float weight, int count, float (&sum)[kWide]) {
  for (int first = 0; first < count; first += kFlight) {
    float x[kFlight][kWide] = {};
#pragma unroll
    for (int i = 0; i < kFlight; ++i) {
      const float* from = pointer_of_lane(row, first + i);
      if (first + i < count) columns.load(from, x[i]);
    }
#pragma unroll
    for (int i = 0; i < kFlight; ++i) {
      const float scale = __shfl_sync(kAllLanes, weight, first + i);
      if (first + i < count) add_scaled(scale, x[i], sum);
    }
  }
}

// A warp for a token, blockIdx.y for a side and a block of its columns.
template <int kWide>
__global__ void __launch_bounds__(kThreads)
    query_gradient_kernel(HalfKeyBackwardArgs args, int column_blocks) {
  const std::int64_t token = warp_of_grid();
  if (token >= args.tokens) return;
  const int side = static_cast<int>(blockIdx.y) / column_blocks, lane = lane_of_warp();
  const std::int64_t group = token * args.heads + side / 2;
  const ColumnBlock<kWide> columns(static_cast<int>(blockIdx.y) % column_blocks, args.half_width);
  float sum[kWide] = {};
  for (std::int64_t begin = 0; begin < args.knn; begin += kWarp) {
    const int count = static_cast<int>(min(std::int64_t{kWarp}, args.knn - begin));
    const float* key = args.keys + side * args.half_keys * args.half_width;
    float weight = 0;
    if (lane < count) {
      const std::int64_t at = group * args.knn + begin + lane;
      key += half_of(args.rows[at], side % 2, static_cast<std::uint32_t>(args.half_keys)) *
             args.half_width;
      weight = args.d_scores[at];
    }
    add_rows(columns, key, weight, count, sum);
  }
  columns.store(args.d_queries + (group * 2 + side % 2) * args.half_width, sum);
}

// The lookups of all sides, sorted by side and half-key.
struct SortedLookups {
  std::uint32_t* keys;     // side * half_keys + half-key
  std::uint32_t* lookups;  // token * knn + position, ascending for each key
  std::int64_t count;
};

// Not sorted yet: in the order of side, token and position. blockIdx.y: the side.
__global__ void __launch_bounds__(kThreads)
    list_lookups_kernel(HalfKeyBackwardArgs args, SortedLookups out) {
  const std::int64_t count = args.tokens * args.knn;
  const std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= count) return;
  const auto lookup = static_cast<std::uint32_t>(at), knn = static_cast<std::uint32_t>(args.knn),
             half_keys = static_cast<std::uint32_t>(args.half_keys);
  const unsigned side = blockIdx.y;
  const std::int64_t group = std::int64_t{lookup / knn} * args.heads + side / 2;
  const RowId row = args.rows[group * args.knn + lookup % knn];
  out.keys[side * count + at] =
      side * half_keys + half_of(row, static_cast<int>(side % 2), half_keys);
  out.lookups[side * count + at] = lookup;
}

// Parts of the sums of keys that cross from one tile into the next: [tiles, half_width].
struct TileSums {
  float* first;  // of the tile's first key, if the tile before has lookups of it
  float* last;   // of the tile's last key, if the tile after has lookups of it and that before none
};

struct Lookup {
  const float* query;
  float weight;
};
__device__ __forceinline__ Lookup read_lookup(const HalfKeyBackwardArgs& args, std::uint32_t key,
                                              std::uint32_t lookup) {
  const auto knn = static_cast<std::uint32_t>(args.knn);
  const std::uint32_t side = key / static_cast<std::uint32_t>(args.half_keys);
  const std::int64_t group = std::int64_t{lookup / knn} * args.heads + side / 2;
  return {args.queries + (group * 2 + side % 2) * args.half_width,
          args.d_scores[group * args.knn + lookup % knn]};
}

// Writes the sum, or adds it to what is there, and starts a new one.
template <int kWide>
__device__ __forceinline__ void move_sum(const ColumnBlock<kWide>& columns, float* out, bool add,
                                         float (&sum)[kWide]) {
  float before[kWide] = {};
  if (add) columns.load(out, before);
#pragma unroll
  for (int i = 0; i < kWide; ++i) before[i] += sum[i], sum[i] = 0;
  columns.store(out, before);
}

// A warp for a tile, blockIdx.y for a block of columns.
template <int kWide>
__global__ void __launch_bounds__(kThreads)
    sum_tiles_kernel(HalfKeyBackwardArgs args, SortedLookups sorted, TileSums sums) {
  const std::int64_t tile = warp_of_grid();
  const std::int64_t begin = tile * kTile, end = min(sorted.count, begin + kTile);
  if (begin >= end) return;
  const ColumnBlock<kWide> columns(static_cast<int>(blockIdx.y), args.half_width);
  bool from_before = begin > 0 && sorted.keys[begin - 1] == sorted.keys[begin];
  float sum[kWide] = {};
  for (std::int64_t start = begin; start < end; start += kWarp) {
    // Lanes beyond the end repeat the last lookup; what they add is not used.
    const std::int64_t at = min(start + lane_of_warp(), end - 1);
    const std::uint32_t key = sorted.keys[at];
    const Lookup lookup = read_lookup(args, key, sorted.lookups[at]);
    const bool goes_on = at + 1 < sorted.count && sorted.keys[at + 1] == key;
    // Where this lookup is the last of its key, or of its key in this tile: where to.
    float* target = nullptr;
    if (!goes_on) target = args.d_keys + key * args.half_width;
    if (goes_on && at + 1 == end) target = sums.last + tile * args.half_width;
    const unsigned last = __ballot_sync(kAllLanes, target != nullptr);
    const unsigned adds = __ballot_sync(kAllLanes, !goes_on);
    for (int first = 0; first < kWarp && start + first < end; first += kFlight) {
      float x[kFlight][kWide];
#pragma unroll
      for (int i = 0; i < kFlight; ++i)
        columns.load(pointer_of_lane(lookup.query, first + i), x[i]);
#pragma unroll
      for (int i = 0; i < kFlight; ++i) {
        add_scaled(__shfl_sync(kAllLanes, lookup.weight, first + i), x[i], sum);
        if ((last >> (first + i) & 1) == 0 || start + first + i >= end) continue;
        float* out = pointer_of_lane(target, first + i);
        if (from_before) out = sums.first + tile * args.half_width;
        move_sum(columns, out, !from_before && (adds >> (first + i) & 1) != 0, sum);
        from_before = false;
      }
    }
  }
}

// A warp for a tile, blockIdx.y for a block of columns: adds up what the last key of the tile has
// in this tile and in those after it.
template <int kWide>
__global__ void __launch_bounds__(kThreads)
    join_tiles_kernel(HalfKeyBackwardArgs args, SortedLookups sorted, TileSums sums) {
  const std::int64_t tile = warp_of_grid();
  const std::int64_t begin = tile * kTile, end = begin + kTile;
  if (end >= sorted.count) return;
  const std::uint32_t key = sorted.keys[end - 1];
  const bool starts_here = sorted.keys[begin] != key || begin == 0 || sorted.keys[begin - 1] != key;
  if (sorted.keys[end] != key || !starts_here) return;
  const ColumnBlock<kWide> columns(static_cast<int>(blockIdx.y), args.half_width);
  float sum[kWide];
  columns.load(sums.last + tile * args.half_width, sum);
  int joined = kWarp;
  for (std::int64_t next = tile + 1; joined == kWarp; next += kWarp) {
    const std::int64_t at = (next + lane_of_warp()) * kTile;
    joined = __popc(__ballot_sync(kAllLanes, at < sorted.count && sorted.keys[at] == key));
    add_rows(columns, sums.first + (next + lane_of_warp()) * args.half_width, 1.0f, joined, sum);
  }
  move_sum(columns, args.d_keys + key * args.half_width, true, sum);
}

template <int kWide>
void run(Operation& operation, const HalfKeyBackwardArgs& args) {
  const std::int64_t sides = args.heads * 2, lookups = args.tokens * args.knn;
  const std::int64_t column_blocks =
      blocks_for(args.half_width, ColumnBlock<kWide>::kColumnsOfBlock);
  operation.launch({blocks_for(args.tokens, kWarps), kThreads, 0, sides * column_blocks},
                   query_gradient_kernel<kWide>, args, column_blocks);

  SortedLookups sorted = {};
  sorted.count = sides * lookups;
  sorted.keys = operation.take<std::uint32_t>(sorted.count);
  sorted.lookups = operation.take<std::uint32_t>(sorted.count);
  SortedLookups listed = sorted;
  listed.keys = operation.take<std::uint32_t>(sorted.count);
  listed.lookups = operation.take<std::uint32_t>(sorted.count);
  operation.launch({blocks_for(lookups, kThreads), kThreads, 0, sides}, list_lookups_kernel, args,
                   listed);
  sort_pairs<std::uint32_t>(operation,
                            {.keys = listed.keys,
                             .sorted_keys = sorted.keys,
                             .values = listed.lookups,
                             .sorted_values = sorted.lookups,
                             .count = sorted.count,
                             .most = static_cast<std::uint32_t>(sides * args.half_keys - 1)});

  const std::int64_t tiles = blocks_for(sorted.count, kTile);
  const TileSums sums = {operation.take<float>(tiles * args.half_width),
                         operation.take<float>(tiles * args.half_width)};
  const Grid grid = {blocks_for(tiles, kWarps), kThreads, 0, column_blocks};
  operation.launch(grid, sum_tiles_kernel<kWide>, args, sorted, sums);
  operation.launch(grid, join_tiles_kernel<kWide>, args, sorted, sums);
}

bool aligned(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % sizeof(float4) == 0;
}

}  // namespace

void CudaBackend::half_key_backward(Stream& stream, const HalfKeyBackwardArgs& args) {
  CHECK(args.knn >= 1 && args.knn <= kMaxKnn);
  CHECK(args.half_keys >= 1 && args.half_width >= 1);
  CHECK(args.tokens * args.knn < std::int64_t{1} << 32);
  CHECK(args.heads * 2 * args.half_keys < std::int64_t{1} << 32);
  Operation operation(stream, "half_key_backward");
  if (args.tokens == 0) return;
  if (args.half_width % 4 == 0 && aligned(args.queries) && aligned(args.keys) &&
      aligned(args.d_queries) && aligned(args.d_keys)) {
    run<4>(operation, args);
  } else {
    run<1>(operation, args);
  }
}

}  // namespace mneme::kernels::cuda
