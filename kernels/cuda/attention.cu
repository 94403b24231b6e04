// Causal softmax attention with an online softmax (Dao, "FlashAttention-2", 2023): a block owns a
// tile of query rows of one head and meets the keys tile by tile, scores live in registers. The
// copies of the next key tile run behind the products of the current one.
#include "kernels/cuda/attention_paths.h"
#include "kernels/cuda/attention_tiles.h"
#include "kernels/cuda/cuda_backend.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kRowTiles = 2;  // a warp's query rows in sixteens; every key read serves all of them
constexpr int kWarpRows = 16 * kRowTiles;
constexpr int kRows = kTileWarps * kWarpRows;  // query rows of a block

// Wide heads leave fewer registers: for scores, thus the keys of a tile, and for query rows, which
// are then read again from shared memory.
template <int kWidth>
constexpr int kKeys = kWidth <= 64 ? 64 : 32;
template <int kWidth>
using Queries = OwnRows<kWidth, kRowTiles, kWidth <= 64>;
// Keys of a tile that are met at a time. kSeparate, here and below: where there are first keys; of
// the widest heads, they leave registers for half as many scores.
template <int kWidth, bool kSeparate>
constexpr int kPart = kWidth == 128 && kSeparate ? 16 : kKeys<kWidth>;
template <int kWidth, bool kSeparate>
using Scores = float[kRowTiles][kPart<kWidth, kSeparate> / 8][4];

// Tiles, and the first keys of the block's rows.
template <int kWidth, bool kSeparate>
constexpr std::size_t shared_bytes() {
  const std::size_t tiles = (kRows + 4 * kKeys<kWidth>)*kTileStride<kWidth> * sizeof(Bf16);
  return tiles + (kSeparate ? kRows * sizeof(std::int32_t) : 0);
}

// The online softmax of a warp's rows. A lane's rows are g and g + 8 of each sixteen (g = lane /
// 4): the second index.
template <int kWidth, bool kSeparate>
struct OnlineSoftmax {
  static constexpr int kRowScores = kPart<kWidth, kSeparate> / 4;  // of a row, in one lane
  float largest[kRowTiles][2];           // score so far, the same in all four lanes of a row
  float total[kRowTiles][2];             // of this lane's columns, in units of e^(scale * largest)
  float sums[kRowTiles][kWidth / 8][4];  // of weights times values, likewise

  __device__ __forceinline__ OnlineSoftmax() {
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
      largest[r][0] = largest[r][1] = -INFINITY;
      total[r][0] = total[r][1] = 0.0f;
#pragma unroll
      for (int i = 0; i < kWidth / 2; ++i) sums[r][i / 4][i % 4] = 0.0f;
    }
  }

  // Turns scores into weights relative to the new largest score.
  __device__ __forceinline__ void take(Scores<kWidth, kSeparate>& scores, float scale_log2) {
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
      const float factor0 = take_row<0>(scores[r], r, scale_log2);
      const float factor1 = take_row<1>(scores[r], r, scale_log2);
      // Largest scores soon stay what they are.
      if (!__any_sync(kAllLanes, factor0 != 1.0f || factor1 != 1.0f)) continue;
#pragma unroll
      for (int i = 0; i < kWidth / 2; ++i) sums[r][i / 4][i % 4] *= i % 4 < 2 ? factor0 : factor1;
    }
  }

  // One row of the lane; returns what its sums must be multiplied by. Without first keys no row of
  // the first tile is hidden as a whole: `largest` is finite then when scores are.
  template <int kHalf>
  __device__ __forceinline__ float take_row(float (&scores)[kRowScores / 2][4], int r,
                                            float scale_log2) {
    const float before = largest[r][kHalf];
    float top = before;
#pragma unroll
    for (int i = 0; i < kRowScores; ++i) top = fmaxf(top, scores[i / 2][2 * kHalf + i % 2]);
    top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 1));
    top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 2));
    largest[r][kHalf] = top;
    if (kSeparate && top == -INFINITY) top = 0.0f;  // nothing that the row reads so far
    const float factor = exp2_approximate((before - top) * scale_log2);
    float sum = total[r][kHalf] * factor;
    const float offset = -top * scale_log2;
#pragma unroll
    for (int i = 0; i < kRowScores; ++i) {
      float& score = scores[i / 2][2 * kHalf + i % 2];
      score = exp2_approximate(fmaf(score, scale_log2, offset));
      sum += score;
    }
    total[r][kHalf] = sum;
    return factor;
  }

  // Divides by the totals and stores the rows' log sums. log_sum: of the lane's row g.
  __device__ __forceinline__ void finish(float scale, float* log_sum, int present) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float sum = total[r][half];
        sum += __shfl_xor_sync(kAllLanes, sum, 1);
        sum += __shfl_xor_sync(kAllLanes, sum, 2);
        const int row = 16 * r + 8 * half + lane / 4;
        if (lane % 4 == 0 && row < present) log_sum[row] = fmaf(largest[r][half], scale, logf(sum));
        const float factor = 1.0f / sum;
#pragma unroll
        for (int i = 0; i < kWidth / 4; ++i) sums[r][i / 2][2 * half + i % 2] *= factor;
      }
    }
  }
};

template <int kWidth, bool kSeparate>
__global__ void __launch_bounds__(kTileThreads, 2) attention_kernel(const AttentionArgs args) {
  constexpr int kTileKeys = kKeys<kWidth>, kTile = kTileKeys * kTileStride<kWidth>;
  Bf16* q_tile = dynamic_shared<Bf16>();
  Bf16* k_tiles = q_tile + kRows * kTileStride<kWidth>;
  Bf16* v_tiles = k_tiles + 2 * kTile;
  const auto sequence = static_cast<int>(args.sequence);
  const int blocks = (sequence + kRows - 1) / kRows;
  // A head's blocks follow one another, to share its keys in the L2 cache; the long ones first.
  const auto head_index = static_cast<int>(blockIdx.x) / blocks;
  const int first_row = (blocks - 1 - static_cast<int>(blockIdx.x) % blocks) * kRows;
  const QueryHead head = query_head(args, head_index);
  const auto q_stride = static_cast<int>(args.heads) * kWidth;
  const auto kv_stride = static_cast<int>(args.kv_heads) * kWidth;
  const Bf16* k = static_cast<const Bf16*>(args.k) + head.kv;
  const Bf16* v = static_cast<const Bf16*>(args.v) + head.kv;
  const auto start_keys = [&](int first_key, int stage) {
    const std::int64_t at = std::int64_t{first_key} * kv_stride;
    copy_tile_async<kWidth, kTileKeys>(k_tiles + stage * kTile, k + at, kv_stride,
                                       sequence - first_key);
    copy_tile_async<kWidth, kTileKeys>(v_tiles + stage * kTile, v + at, kv_stride,
                                       sequence - first_key);
    end_copy_group();
  };
  copy_tile_async<kWidth, kRows>(
      q_tile, static_cast<const Bf16*>(args.q) + head.q + std::int64_t{first_row} * q_stride,
      q_stride, sequence - first_row);
  int first_key = 0;
  auto* first_keys = reinterpret_cast<std::int32_t*>(v_tiles + 2 * kTile);  // of the block's rows
  if constexpr (kSeparate) {
    static_assert(kRows == kTileThreads);
    const FirstKeys all(args, head_index);
    first_key = all(first_row);
    first_keys[threadIdx.x] = all(first_row + static_cast<int>(threadIdx.x));
  }
  start_keys(first_key, 0);

  const int warp_row = static_cast<int>(threadIdx.x) / kWarp * kWarpRows;
  const int row = first_row + warp_row;
  const float scale_log2 = args.scale * kLog2E;
  wait_for_copies<0>();
  __syncthreads();
  const Queries<kWidth> queries(q_tile, warp_row);
  OnlineSoftmax<kWidth, kSeparate> softmax;
  const int keys = min(sequence, first_row + kRows);
  for (int key = first_key, stage = 0; key < keys; key += kTileKeys, stage ^= 1) {
    wait_for_copies<0>();
    __syncthreads();
    if (key + kTileKeys < keys) start_keys(key + kTileKeys, stage ^ 1);
#pragma unroll 1
    for (int part = 0; part < kTileKeys; part += kPart<kWidth, kSeparate>) {
      const int first = key + part, end = first + kPart<kWidth, kSeparate>;
      if (first >= row + kWarpRows || row >= sequence) break;  // nothing that this warp sees
      if (kSeparate && end <= first_keys[warp_row]) continue;
      Scores<kWidth, kSeparate> scores;
      times_rows(scores, queries, k_tiles + stage * kTile, part);
      if (end > row) hide_later_keys<false>(scores, row, first);
      if (kSeparate && first < first_keys[warp_row + kWarpRows - 1]) {
        hide_earlier_keys<false>(scores, row, first,
                                 [&](int query) { return first_keys[query - first_row]; });
      }
      softmax.take(scores, scale_log2);
      add_weighted_rows<kWidth>(softmax.sums, scores, v_tiles + stage * kTile, part);
    }
  }
  softmax.finish(args.scale, args.log_sum + head_index * args.sequence + row, sequence - row);
  store_rows<kWidth>(softmax.sums, q_tile, warp_row,
                     static_cast<Bf16*>(args.out) + head.q + std::int64_t{row} * q_stride, q_stride,
                     sequence - row);
}

bool aligned(const void* p) {
  return reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
}

}  // namespace

void check_attention(const AttentionArgs& args) {
  CHECK(args.batch >= 0 && args.sequence >= 0 && args.sequence < (1 << 30));
  CHECK(args.head_width > 0 && args.head_width <= kMaxHeadWidth, "heads {} wide; the limit is {}",
        args.head_width, kMaxHeadWidth);
  CHECK(args.kv_heads > 0 && args.heads % args.kv_heads == 0,
        "{} heads cannot share {} key/value heads", args.heads, args.kv_heads);
}

bool takes_tiles(const AttentionArgs& args) {
  const std::int64_t width = args.head_width;
  return args.type == FloatType::kBF16 &&
         (width == 32 || width == 64 || width == 96 || width == 128) && args.scale > 0.0f &&
         aligned(args.q) && aligned(args.k) && aligned(args.v) && aligned(args.out);
}

bool takes_tiles(const AttentionBackwardArgs& args) {
  return takes_tiles(args.forward) && aligned(args.d_out) && aligned(args.d_q) &&
         aligned(args.d_k) && aligned(args.d_v);
}

void CudaBackend::attention(Stream& stream, const AttentionArgs& args) {
  check_attention(args);
  Operation operation(stream, "attention");
  if (!takes_tiles(args)) return attention_any_width(operation, args);
  with_tile_width(args.head_width, [&](auto width) {
    const std::int64_t blocks = args.batch * args.heads * blocks_for(args.sequence, kRows);
    if (args.first_keys == nullptr) {
      operation.launch({blocks, kTileThreads, shared_bytes<width(), false>()},
                       attention_kernel<width(), false>, args);
    } else {
      operation.launch({blocks, kTileThreads, shared_bytes<width(), true>()},
                       attention_kernel<width(), true>, args);
    }
  });
}

}  // namespace mneme::kernels::cuda
