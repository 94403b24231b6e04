// Operation product_keys of the CUDA backend: one kernel, a warp for each (token, head), which
// reads the half scores once (half_top.h). kernels/cpu/key_search.cpp says why the result is exact:
// of the pairs of ranks (a, b) only those with (a+1)(b+1) <= knn matter, unless a row beyond them
// ties with the knn-th best score.
#include <algorithm>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device_math.h"
#include "kernels/cuda/half_top.h"
#include "kernels/cuda/operation.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kMaxKnn = 128;
constexpr int kMaxPairs = 645;  // the sum over a < 128 of floor(128 / (a + 1))
constexpr int kWarps = 4;       // of a block

// The pairs of ranks by ascending (a+1)(b+1): a search for knn rows takes the first few.
struct PairTable {
  std::uint8_t first[kMaxPairs], second[kMaxPairs];
};
constexpr PairTable make_pair_table() {
  PairTable table = {};
  int count = 0;
  for (int product = 1; product <= kMaxKnn; ++product) {
    for (int a = 1; a <= product; ++a) {
      if (product % a != 0) continue;
      table.first[count] = static_cast<std::uint8_t>(a - 1);
      table.second[count++] = static_cast<std::uint8_t>(product / a - 1);
    }
  }
  return table;
}
__device__ constexpr PairTable kPairs = make_pair_table();

int pairs_within(std::int64_t knn) {
  std::int64_t count = 0;
  for (std::int64_t a = 0; a < knn; ++a) count += knn / (a + 1);
  return static_cast<int>(count);
}

// A lower bound of the knn-th best score: pair (a, b) with (a+1)(b+1) >= knn has knn pairs that
// score at least as high, itself included.
template <int kRanks>
__device__ __forceinline__ float pair_bound(const SearchSpace<kRanks>& space, int knn) {
  float bound = kLowest;
  for (int a = lane_of_warp(); a < knn; a += kWarp) {
    const int b = (knn + a) / (a + 1) - 1;
    bound = fmaxf(bound, space.scores[0][a] + space.scores[1][b]);
  }
  return warp_max(bound);
}

// Lists the pairs that reach the bound and returns how many they are.
template <int kRanks>
__device__ __forceinline__ int list_pairs(SearchSpace<kRanks>& space, int half_keys, int pairs,
                                          float bound) {
  int listed = 0;
  for (int begin = 0; begin < pairs; begin += kWarp) {
    const int i = min(begin + lane_of_warp(), pairs - 1);
    const int a = kPairs.first[i], b = kPairs.second[i];
    const float score = space.scores[0][a] + space.scores[1][b];
    const bool keep = begin + lane_of_warp() < pairs && score >= bound;
    const unsigned keepers = __ballot_sync(kAllLanes, keep);
    if (keep) {
      const std::uint32_t row =
          space.indices[0][a] * static_cast<std::uint32_t>(half_keys) + space.indices[1][b];
      space.list[listed + __popc(keepers & lanes_below())] = rank_key(score, row);
    }
    listed += __popc(keepers);
  }
  __syncwarp();
  return listed;
}

// True when a pair just outside of (a+1)(b+1) <= knn reaches the knn-th best score. Every other
// pair outside scores no higher than one of these.
template <int kRanks>
__device__ __forceinline__ bool tie_beyond(const SearchSpace<kRanks>& space, int half_keys, int knn,
                                           float last) {
  bool tie = false;
  for (int a = lane_of_warp(); a <= knn; a += kWarp) {
    const int b = a == knn ? 0 : knn / (a + 1);
    if (a < half_keys && b < half_keys) {
      tie |= space.scores[0][a] + space.scores[1][b] >= last;
    }
  }
  return __any_sync(kAllLanes, tie);
}

// From `next` on, lists rows of first half `first_half` that score `last`, in ascending order, up
// to knn. Returns how many there are then.
__device__ __forceinline__ int list_ties(float first_score, int first_half, const float* second,
                                         int half_keys, float last, int next, int knn,
                                         RankKey* list) {
  for (int begin = 0; begin < half_keys && next < knn; begin += kWarp) {
    const int at = begin + lane_of_warp();
    const bool equal = at < half_keys && first_score + second[at] == last;
    const unsigned ties = __ballot_sync(kAllLanes, equal);
    const int place = next + __popc(ties & lanes_below());
    if (equal && place < knn) {
      list[place] = rank_key(
          last, static_cast<std::uint32_t>(first_half) * static_cast<std::uint32_t>(half_keys) +
                    static_cast<std::uint32_t>(at));
    }
    next += __popc(ties);
  }
  return min(next, knn);
}

// Replaces the pairs that score `last` by the lowest rows of all that do. list: [knn], sorted.
// Slow and rare. At most 2 knn first halves reach the inner walk: each has a row that scores `last`
// or more.
__device__ __forceinline__ void settle_tie(const float* first, const float* second, int half_keys,
                                           float best_second, RankKey* list, int knn) {
  const float last = score_of(list[knn - 1]);
  int next = 0;
  for (int begin = 0; begin < knn; begin += kWarp) {
    const int at = begin + lane_of_warp();
    next += __popc(__ballot_sync(kAllLanes, at < knn && score_of(list[min(at, knn - 1)]) > last));
  }
  __syncwarp();
  for (int begin = 0; begin < half_keys && next < knn; begin += kWarp) {
    const int at = begin + lane_of_warp();
    const float score = at < half_keys ? first[at] : kLowest;
    unsigned todo = __ballot_sync(kAllLanes, at < half_keys && score + best_second >= last);
    for (; todo != 0 && next < knn; todo &= todo - 1) {
      const int lane = __ffs(static_cast<int>(todo)) - 1;
      next = list_ties(__shfl_sync(kAllLanes, score, lane), begin + lane, second, half_keys, last,
                       next, knn, list);
    }
  }
  __syncwarp();
}

// list: [knn], or null for a group that failed, whose rows are then valid ones.
template <int kRanks>
__device__ __forceinline__ void write_group(const ProductKeyArgs& args, std::int64_t group,
                                            const RankKey* list) {
  const int knn = static_cast<int>(args.knn);
  float weights[kRanks];
  double sum = 0;
#pragma unroll
  for (int r = 0; r < kRanks; ++r) {
    const int j = r * kWarp + lane_of_warp();
    weights[r] = 0;
    if (list != nullptr && j < knn) weights[r] = expf(score_of(list[j]) - score_of(list[0]));
    sum += weights[r];
  }
  sum = warp_sum(sum);
  const float inverse = list != nullptr ? static_cast<float>(1 / sum) : 0.0f;
#pragma unroll
  for (int r = 0; r < kRanks; ++r) {
    const int j = r * kWarp + lane_of_warp();
    if (j >= knn) continue;
    const std::int64_t at = group * knn + j;
    args.rows[at] = list != nullptr ? place_of(list[j]) : 0;
    if (args.scores != nullptr) args.scores[at] = list != nullptr ? score_of(list[j]) : 0.0f;
    args.weights[at] = weights[r] * inverse;
  }
}

// Fills space.scores and space.indices. The best score of a half with a NaN is NaN.
template <int kRanks, bool kVector>
__device__ __forceinline__ void search_halves(const float* row, unsigned half_keys, int top,
                                              SearchSpace<kRanks>& space) {
  float x[kEach];
  load_chunk<kVector>(row, 0, half_keys, x);
#pragma unroll 1
  for (int half = 0; half < 2; ++half, row += half_keys) {
    RowScan<kRanks> scan = begin_row<kRanks>();
#pragma unroll 1
    for (unsigned begin = 0; begin < half_keys; begin += kChunk) {
      const unsigned end = begin + kChunk;
      const bool last = end >= half_keys;
      unsigned chosen = choose(x, begin, last, scan);
      if (end > half_keys) chosen &= within<kVector>(begin, half_keys);
      // The next chunk is on its way while this one's few are listed.
      if (!last || half == 0) {
        load_chunk<kVector>(last ? row + half_keys : row, last ? 0 : end, half_keys, x);
      }
      list_chosen<kRanks, kVector>(row, begin, last, half, top, chosen, space, scan);
    }
    mark_nan(scan, space.scores[half]);
  }
}

// So many that registers suffice without spills.
constexpr int blocks_per_multiprocessor(int ranks) {
  return ranks == 1 ? 6 : ranks == 2 ? 4 : 3;
}

// 32 kRanks: the largest knn. kVector: rows are aligned to 16 bytes and end with a whole float4.
template <int kRanks, bool kVector>
__global__ void __launch_bounds__(kWarps* kWarp, blocks_per_multiprocessor(kRanks))
    product_keys_kernel(ProductKeyArgs args, int pairs, DeviceReport* reported) {
  __shared__ SearchSpace<kRanks> spaces[kWarps];
  const std::int64_t group =
      std::int64_t{blockIdx.x} * kWarps + static_cast<int>(threadIdx.x) / kWarp;
  if (group >= args.tokens * args.heads) return;
  SearchSpace<kRanks>& space = spaces[static_cast<int>(threadIdx.x) / kWarp];
  const int half_keys = static_cast<int>(args.half_keys), knn = static_cast<int>(args.knn);
  const float* first = args.half_scores + group * 2 * half_keys;

  search_halves<kRanks, kVector>(first, static_cast<unsigned>(half_keys), min(half_keys, knn + 1),
                                 space);
  const float best_first = space.scores[0][0], best_second = space.scores[1][0];
  if (!isfinite(best_first + best_second)) {
    if (lane_of_warp() == 0) {
      report(reported, ReportCode::kScoreNotFinite, group / args.heads, group % args.heads,
             isnan(best_first) || isnan(best_second) ? 1 : 0);
    }
    write_group<kRanks>(args, group, nullptr);
    return;
  }
  const int listed = list_pairs(space, half_keys, pairs, pair_bound(space, knn));
  RankKey sorted[2 * kRanks];
  sort_best<kRanks>(space.list, listed, sorted);
  __syncwarp();
#pragma unroll
  for (int r = 0; r < kRanks; ++r) space.list[r * kWarp + lane_of_warp()] = sorted[r];
  __syncwarp();
  if (tie_beyond(space, half_keys, knn, score_of(space.list[knn - 1]))) {
    settle_tie(first, first + half_keys, half_keys, best_second, space.list, knn);
  }
  write_group<kRanks>(args, group, space.list);
}

template <int kRanks>
void launch_search(Operation& operation, const ProductKeyArgs& args) {
  const bool vector = args.half_keys % 4 == 0 &&
                      reinterpret_cast<std::uintptr_t>(args.half_scores) % sizeof(float4) == 0;
  const Grid grid = {blocks_for(args.tokens * args.heads, kWarps), kWarps * kWarp};
  operation.launch(grid,
                   vector ? product_keys_kernel<kRanks, true> : product_keys_kernel<kRanks, false>,
                   args, pairs_within(args.knn), operation.report());
}

}  // namespace

void CudaBackend::product_keys(Stream& stream, const ProductKeyArgs& args) {
  CHECK(args.knn >= 1 && args.knn <= args.half_keys && args.knn <= kMaxKnn);
  CHECK(args.half_keys <= 65535, "row ids of {}^2 rows do not fit 32 bits", args.half_keys);
  CHECK(args.half_scores != nullptr && args.rows != nullptr && args.weights != nullptr);
  Operation operation(stream, "product_keys");
  if (args.knn <= 32) {
    launch_search<1>(operation, args);
  } else if (args.knn <= 64) {
    launch_search<2>(operation, args);
  } else {
    launch_search<4>(operation, args);
  }
}

}  // namespace mneme::kernels::cuda
