// The gradients of bf16 attention on tensor cores. A block owns a tile of keys (or of queries) and
// meets the queries (keys) tile by tile; scores and their gradients live in registers, transposed
// where keys are owned, so that they are left operands of the sums as they stand. The copies of the
// next tile run behind the products of the current one.
#include <algorithm>
#include <cstddef>

#include "kernels/cuda/attention_paths.h"
#include "kernels/cuda/attention_tiles.h"

namespace mneme::kernels::cuda {
namespace {

// Rows of a tile that all warps meet. Wide heads need more than the 99 KiB of shared memory that a
// block has on compute capability 8.6 and 8.9; there the tiles are smaller. Sums have the same
// order and bits with either.
constexpr int kManyOthers = 64, kFewOthers = 32;
constexpr std::size_t kLeastSharedBytes = std::size_t{99} << 10;

// Which side of the scores blocks own. kBlocks: on a multiprocessor; kRowTiles: how many rows a
// warp owns, in sixteens; kPart: how many rows of the other side it meets at a time; kKept0,
// kKept1: which of its own rows (keys, values or queries, d_out) stay in registers. Chosen so that
// nothing spills.
template <int kWidth>
struct KeySide {
  static constexpr int kBlocks = kWidth <= 64 ? 3 : 2;
  static constexpr int kRowTiles = 1, kPart = kWidth <= 64 ? 32 : 16;
  static constexpr bool kKept0 = kWidth <= 96, kKept1 = kWidth == 96;
};
template <int kWidth>
struct QuerySide {
  static constexpr int kBlocks = 2;
  static constexpr int kRowTiles = kWidth <= 64 ? 2 : 1, kPart = kWidth <= 64 ? 16 : 32;
  static constexpr bool kKept0 = true, kKept1 = true;
};

template <int kWidth, typename Side>
struct Shapes {
  static constexpr int kRowTiles = Side::kRowTiles, kPart = Side::kPart;
  static constexpr int kWarpRows = 16 * kRowTiles, kRows = kTileWarps * kWarpRows;
  static_assert(kRows % kManyOthers == 0 && kRowTermsPadding % kRows == 0);
  static_assert(kFewOthers % kPart == 0);
  using Own0 = OwnRows<kWidth, kRowTiles, Side::kKept0>;
  using Own1 = OwnRows<kWidth, kRowTiles, Side::kKept1>;
  using Scores = float[kRowTiles][kPart / 8][4];
  using Sums = float[kRowTiles][kWidth / 8][4];
};

// Shared memory of a block: pairs of tiles (keys and values, or queries and d_out).
template <int kWidth, int kRows, int kOthers>
struct Tiles {
  Bf16 own[2][kRows * kTileStride<kWidth>];
  Bf16 others[2][2][kOthers * kTileStride<kWidth>];  // by stage
};
template <int kWidth, int kRows, int kOthers>
struct TilesAndTerms : Tiles<kWidth, kRows, kOthers> {
  RowTerms terms[2][kOthers];  // by stage
};

// A score becomes its weight, <d_out, v> becomes d_score.
__device__ __forceinline__ void differentiate(float& score, float& d_weight, float scale_log2,
                                              float log2_sum, float delta) {
  score = exp2_approximate(fmaf(score, scale_log2, -log2_sum));
  d_weight = score * (d_weight - delta);
}

// kSeparate, here and below: where there are first keys.
template <int kWidth, int kOthers, bool kSeparate>
__global__ void __launch_bounds__(kTileThreads, KeySide<kWidth>::kBlocks)
    key_gradients_kernel(const AttentionBackwardArgs args, const RowTerms* terms, int padded) {
  using Shape = Shapes<kWidth, KeySide<kWidth>>;
  constexpr int kRows = Shape::kRows, kPart = Shape::kPart;
  auto& tiles = *dynamic_shared<TilesAndTerms<kWidth, kRows, kOthers>>();
  const AttentionArgs& forward = args.forward;
  const auto sequence = static_cast<int>(forward.sequence);
  const auto group = static_cast<int>(forward.heads / forward.kv_heads);
  const auto q_stride = static_cast<int>(forward.heads) * kWidth;
  const auto kv_stride = static_cast<int>(forward.kv_heads) * kWidth;
  // A head's blocks follow one another, to share its queries in the L2 cache; the first keys are
  // seen by the most queries and come first.
  const int blocks = (sequence + kRows - 1) / kRows;
  const int kv_index = static_cast<int>(blockIdx.x) / blocks;  // of [batch, kv_heads]
  const int first_key = static_cast<int>(blockIdx.x) % blocks * kRows;
  const std::int64_t first_head = std::int64_t{kv_index} * group;  // of [batch, heads]
  const QueryHead head = query_head(forward, first_head);
  const std::int64_t kv_at = head.kv + std::int64_t{first_key} * kv_stride;
  copy_tile_async<kWidth, kRows>(tiles.own[0], static_cast<const Bf16*>(forward.k) + kv_at,
                                 kv_stride, sequence - first_key);
  copy_tile_async<kWidth, kRows>(tiles.own[1], static_cast<const Bf16*>(forward.v) + kv_at,
                                 kv_stride, sequence - first_key);
  // The queries of the group's heads from the first key on, head by head.
  const auto start_queries = [&](int member, int query, int stage) {
    const std::int64_t at = head.q + std::int64_t{query} * q_stride + member * kWidth;
    copy_tile_async<kWidth, kOthers>(tiles.others[stage][0],
                                     static_cast<const Bf16*>(forward.q) + at, q_stride,
                                     sequence - query);
    copy_tile_async<kWidth, kOthers>(tiles.others[stage][1],
                                     static_cast<const Bf16*>(args.d_out) + at, q_stride,
                                     sequence - query);
    if (threadIdx.x < kOthers / 2) {
      const int pair = static_cast<int>(threadIdx.x) * 2;
      copy_16_async(tiles.terms[stage] + pair,
                    terms + (first_head + member) * padded + query + pair, true);
    }
    end_copy_group();
  };
  start_queries(0, first_key, 0);

  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp_row = static_cast<int>(threadIdx.x) / kWarp * Shape::kWarpRows;
  const int key = first_key + warp_row;
  const float scale_log2 = forward.scale * kLog2E;
  wait_for_copies<0>();
  __syncthreads();
  const typename Shape::Own0 keys(tiles.own[0], warp_row);
  const typename Shape::Own1 values(tiles.own[1], warp_row);
  typename Shape::Sums d_k, d_v;
#pragma unroll
  for (int r = 0; r < Shape::kRowTiles; ++r) clear(d_k[r]), clear(d_v[r]);
  const FirstKeys first_keys(forward, first_head);
  int member = 0, tile_query = first_key;
  for (int stage = 0; member < group; stage ^= 1) {
    wait_for_copies<0>();
    __syncthreads();
    const int current_query = tile_query;
    tile_query += kOthers;
    const bool last_tile =
        tile_query >= sequence || (kSeparate && first_keys(tile_query) >= first_key + kRows);
    if (last_tile) tile_query = first_key, ++member;
    if (member < group) start_queries(member, tile_query, stage ^ 1);
    const Bf16 *q_tile = tiles.others[stage][0], *d_out_tile = tiles.others[stage][1];
#pragma unroll 1
    for (int part = 0; part < kOthers; part += kPart) {
      const int query = current_query + part;
      if (query + kPart <= key || query >= sequence) continue;  // none that sees the warp's keys
      if (kSeparate && first_keys(query) >= key + Shape::kWarpRows) continue;
      typename Shape::Scores weights, d_scores;
      times_rows(weights, keys, q_tile, part);
      times_rows(d_scores, values, d_out_tile, part);
      if (query < key + Shape::kWarpRows) hide_later_keys<true>(weights, key, query);
      if (kSeparate && key < first_keys(query + kPart - 1)) {
        hide_earlier_keys<true>(weights, key, query, first_keys);
      }
#pragma unroll
      for (int i = 0; i < kPart / 8; ++i) {
        const auto* pair = tiles.terms[stage] + part + 8 * i + lane % 4 * 2;
        const float4 term = *reinterpret_cast<const float4*>(pair);
#pragma unroll
        for (int r = 0; r < Shape::kRowTiles; ++r) {
          float(&weight)[4] = weights[r][i], (&d_score)[4] = d_scores[r][i];
          differentiate(weight[0], d_score[0], scale_log2, term.x, term.y);
          differentiate(weight[1], d_score[1], scale_log2, term.z, term.w);
          differentiate(weight[2], d_score[2], scale_log2, term.x, term.y);
          differentiate(weight[3], d_score[3], scale_log2, term.z, term.w);
        }
      }
      add_weighted_rows<kWidth>(d_v, weights, d_out_tile, part);
      add_weighted_rows<kWidth>(d_k, d_scores, q_tile, part);
    }
  }
#pragma unroll
  for (int r = 0; r < Shape::kRowTiles; ++r) scale_by(forward.scale, d_k[r]);
  const std::int64_t at = head.kv + std::int64_t{key} * kv_stride;
  store_rows<kWidth>(d_k, tiles.own[0], warp_row, static_cast<Bf16*>(args.d_k) + at, kv_stride,
                     sequence - key);
  store_rows<kWidth>(d_v, tiles.own[1], warp_row, static_cast<Bf16*>(args.d_v) + at, kv_stride,
                     sequence - key);
}

template <int kWidth, int kOthers, bool kSeparate>
__global__ void __launch_bounds__(kTileThreads, QuerySide<kWidth>::kBlocks)
    query_gradients_kernel(const AttentionBackwardArgs args, const RowTerms* terms, int padded) {
  using Shape = Shapes<kWidth, QuerySide<kWidth>>;
  constexpr int kRows = Shape::kRows, kPart = Shape::kPart;
  auto& tiles = *dynamic_shared<Tiles<kWidth, kRows, kOthers>>();
  const AttentionArgs& forward = args.forward;
  const auto sequence = static_cast<int>(forward.sequence);
  const auto q_stride = static_cast<int>(forward.heads) * kWidth;
  const auto kv_stride = static_cast<int>(forward.kv_heads) * kWidth;
  // As in forward: the last queries see the most keys.
  const int blocks = (sequence + kRows - 1) / kRows;
  const auto head_index = static_cast<int>(blockIdx.x) / blocks;
  const int first_query = (blocks - 1 - static_cast<int>(blockIdx.x) % blocks) * kRows;
  const QueryHead head = query_head(forward, head_index);
  const std::int64_t q_at = head.q + std::int64_t{first_query} * q_stride;
  copy_tile_async<kWidth, kRows>(tiles.own[0], static_cast<const Bf16*>(forward.q) + q_at, q_stride,
                                 sequence - first_query);
  copy_tile_async<kWidth, kRows>(tiles.own[1], static_cast<const Bf16*>(args.d_out) + q_at,
                                 q_stride, sequence - first_query);
  const auto start_keys = [&](int key, int stage) {
    const std::int64_t at = head.kv + std::int64_t{key} * kv_stride;
    copy_tile_async<kWidth, kOthers>(tiles.others[stage][0],
                                     static_cast<const Bf16*>(forward.k) + at, kv_stride,
                                     sequence - key);
    copy_tile_async<kWidth, kOthers>(tiles.others[stage][1],
                                     static_cast<const Bf16*>(forward.v) + at, kv_stride,
                                     sequence - key);
    end_copy_group();
  };
  const FirstKeys first_keys(forward, head_index);
  const int first_key = kSeparate ? first_keys(first_query) : 0;
  start_keys(first_key, 0);

  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp_row = static_cast<int>(threadIdx.x) / kWarp * Shape::kWarpRows;
  const int query = first_query + warp_row;
  const float scale_log2 = forward.scale * kLog2E;
  RowTerms row_terms[Shape::kRowTiles][2];  // of rows g and g + 8, g = lane / 4
  typename Shape::Sums d_q;
#pragma unroll
  for (int r = 0; r < Shape::kRowTiles; ++r) {
    const RowTerms* at = terms + std::int64_t{head_index} * padded + query + 16 * r + lane / 4;
    row_terms[r][0] = at[0], row_terms[r][1] = at[8];
    clear(d_q[r]);
  }
  wait_for_copies<0>();
  __syncthreads();
  const typename Shape::Own0 queries(tiles.own[0], warp_row);
  const typename Shape::Own1 d_outs(tiles.own[1], warp_row);
  const int keys = min(sequence, first_query + kRows);
  for (int tile_key = first_key, stage = 0; tile_key < keys; tile_key += kOthers, stage ^= 1) {
    wait_for_copies<0>();
    __syncthreads();
    if (tile_key + kOthers < keys) start_keys(tile_key + kOthers, stage ^ 1);
    const Bf16 *k_tile = tiles.others[stage][0], *v_tile = tiles.others[stage][1];
#pragma unroll 1
    for (int part = 0; part < kOthers; part += kPart) {
      const int key = tile_key + part;
      if (key >= query + Shape::kWarpRows || query >= sequence) break;  // none that the warp sees
      if (kSeparate && key + kPart <= first_keys(query)) continue;
      typename Shape::Scores weights, d_scores;
      times_rows(weights, queries, k_tile, part);
      times_rows(d_scores, d_outs, v_tile, part);
      if (key + kPart > query) hide_later_keys<false>(weights, query, key);
      if (kSeparate && key < first_keys(query + Shape::kWarpRows - 1)) {
        hide_earlier_keys<false>(weights, query, key, first_keys);
      }
#pragma unroll
      for (int i = 0; i < Shape::kRowTiles * kPart / 2; ++i) {
        const int r = i / (kPart / 2), tile = i / 4 % (kPart / 8), element = i % 4;
        const RowTerms& term = row_terms[r][element / 2];
        differentiate(weights[r][tile][element], d_scores[r][tile][element], scale_log2,
                      term.log2_sum, term.delta);
      }
      add_weighted_rows<kWidth>(d_q, d_scores, k_tile, part);
    }
  }
#pragma unroll
  for (int r = 0; r < Shape::kRowTiles; ++r) scale_by(forward.scale, d_q[r]);
  store_rows<kWidth>(d_q, tiles.own[0], warp_row,
                     static_cast<Bf16*>(args.d_q) + head.q + std::int64_t{query} * q_stride,
                     q_stride, sequence - query);
}

template <int kWidth, int kOthers, bool kSeparate>
void launch_gradients(Operation& operation, const AttentionBackwardArgs& args,
                      const RowTerms* terms, std::int64_t padded) {
  const AttentionArgs& forward = args.forward;
  constexpr int kKeys = Shapes<kWidth, KeySide<kWidth>>::kRows;
  operation.launch({forward.batch * forward.kv_heads * blocks_for(forward.sequence, kKeys),
                    kTileThreads, sizeof(TilesAndTerms<kWidth, kKeys, kOthers>)},
                   key_gradients_kernel<kWidth, kOthers, kSeparate>, args, terms, padded);
  constexpr int kQueries = Shapes<kWidth, QuerySide<kWidth>>::kRows;
  operation.launch({forward.batch * forward.heads * blocks_for(forward.sequence, kQueries),
                    kTileThreads, sizeof(Tiles<kWidth, kQueries, kOthers>)},
                   query_gradients_kernel<kWidth, kOthers, kSeparate>, args, terms, padded);
}
template <int kWidth, int kOthers>
void launch_gradients(Operation& operation, const AttentionBackwardArgs& args,
                      const RowTerms* terms, std::int64_t padded) {
  args.forward.first_keys == nullptr
      ? launch_gradients<kWidth, kOthers, false>(operation, args, terms, padded)
      : launch_gradients<kWidth, kOthers, true>(operation, args, terms, padded);
}

// What a block needs with many others.
template <int kWidth>
constexpr std::size_t kSharedBytes =
    std::max(sizeof(TilesAndTerms<kWidth, Shapes<kWidth, KeySide<kWidth>>::kRows, kManyOthers>),
             sizeof(Tiles<kWidth, Shapes<kWidth, QuerySide<kWidth>>::kRows, kManyOthers>));

}  // namespace

void attention_backward_tiles(Operation& operation, const AttentionBackwardArgs& args,
                              const RowTerms* terms, std::int64_t padded) {
  with_tile_width(args.forward.head_width, [&](auto width) {
    if constexpr (kSharedBytes < width() >> kLeastSharedBytes) {
      if (kSharedBytes < width() >> operation.most_shared_bytes()) {
        return launch_gradients<width(), kFewOthers>(operation, args, terms, padded);
      }
    }
    launch_gradients<width(), kManyOthers>(operation, args, terms, padded);
  });
}

}  // namespace mneme::kernels::cuda
