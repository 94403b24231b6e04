// Backward of attention in float32 arithmetic; see attention_backward.cu for the formulas. One
// kernel does both sides: blocks own keys and meet the queries of all heads that read them, or own
// queries and meet keys.
#include "kernels/cuda/attention_paths.h"
#include "kernels/cuda/attention_rows.h"

namespace mneme::kernels::cuda {
namespace {

// One side: pairs of arrays (queries and d_out, or keys and values) and where a head's rows lie.
template <typename T>
struct Side {
  const T *first, *second;
  std::int64_t at, stride;

  // 32 rows from `row` on, of the head that is so many after this one.
  __device__ __forceinline__ void copy(float* tiles[2], int tile_stride, int heads, int row,
                                       int width, int sequence) const {
    const std::int64_t from = at + heads * width + row * stride;
    copy_rows(tiles[0], tile_stride, first + from, stride, width, sequence - row);
    copy_rows(tiles[1], tile_stride, second + from, stride, width, sequence - row);
  }
};

template <typename T, int kGroups, bool kKeysOwned>
__global__ void __launch_bounds__(kRowThreads, 1)
    gradient_rows_kernel(const AttentionBackwardArgs args, const RowTerms* terms, int padded) {
  __shared__ float all_weights[2][kRowWarps][kOwnRows][kOtherRows];
  const AttentionArgs& forward = args.forward;
  const auto sequence = static_cast<int>(forward.sequence);
  const auto width = static_cast<int>(forward.head_width);
  const int odd = odd_stride(width);
  auto* shared = dynamic_shared<float>();
  float* own_tiles[] = {shared, shared + kRowBlock * width};
  float* tiles[] = {shared + 2 * kRowBlock * width,
                    shared + 2 * kRowBlock * width + kOtherRows * odd};
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int blocks = (sequence + kRowBlock - 1) / kRowBlock;
  const auto member = static_cast<int>(blockIdx.x) % blocks;
  const int first_row = (kKeysOwned ? member : blocks - 1 - member) * kRowBlock;
  const auto group = kKeysOwned ? static_cast<int>(forward.heads / forward.kv_heads) : 1;
  const std::int64_t first_head = std::int64_t{blockIdx.x} / blocks * group;  // of [batch, heads]
  const QueryHead head = query_head(forward, first_head);
  const Side<T> queries{static_cast<const T*>(forward.q), static_cast<const T*>(args.d_out), head.q,
                        forward.heads * width};
  const Side<T> keys{static_cast<const T*>(forward.k), static_cast<const T*>(forward.v), head.kv,
                     forward.kv_heads * width};
  const Side<T>& own = kKeysOwned ? keys : queries;
  own.copy(own_tiles, width, 0, first_row, width, sequence);

  const int row = first_row + warp * kOwnRows;  // the warp's first
  auto& weights = all_weights[0][warp];
  auto& d_scores = all_weights[1][warp];
  RowSums<kGroups> sums;         // d_k or d_q
  RowSums<kGroups> weight_sums;  // d_v
  const FirstKeys first_keys(forward, first_head);
  const int begin = kKeysOwned ? first_row : first_keys.or_zero(first_row);
  const int end = kKeysOwned ? sequence : min(sequence, first_row + kRowBlock);
  for (int i = 0; i < group; ++i) {
    const RowTerms* head_terms = terms + (first_head + i) * padded;
    for (int other = begin; other < end; other += kOtherRows) {
      // Later queries read none of the block's keys, either.
      if (kKeysOwned && first_keys.or_zero(other) >= first_row + kRowBlock) break;
      __syncthreads();
      (kKeysOwned ? queries : keys).copy(tiles, odd, i, other, width, sequence);
      __syncthreads();
      float scores[kOwnRows], d_weights[kOwnRows];
      const int own_at = warp * kOwnRows * width;
      dot_rows(scores, own_tiles[0] + own_at, width, tiles[0] + lane * odd, width);
      dot_rows(d_weights, own_tiles[1] + own_at, width, tiles[1] + lane * odd, width);
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r) {
        const int query = kKeysOwned ? other + lane : row + r;
        const int key = kKeysOwned ? row + r : other + lane;
        const RowTerms term = head_terms[query];
        const float score = fmaf(scores[r], forward.scale * kLog2E, -term.log2_sum);
        const bool read = key <= query && key >= first_keys.or_zero(query);
        const float weight = read ? exp2f(score) : 0.0f;
        weights[r][lane] = weight;
        d_scores[r][lane] = forward.scale * weight * (d_weights[r] - term.delta);
      }
      __syncwarp();
      sums.add(d_scores, tiles[0], odd, width);
      if constexpr (kKeysOwned) weight_sums.add(weights, tiles[1], odd, width);
    }
  }
  const std::int64_t at = own.at + row * own.stride;
  auto* target = static_cast<T*>(kKeysOwned ? args.d_k : args.d_q);
  sums.write(target + at, own.stride, width, sequence - row);
  if constexpr (kKeysOwned) {
    weight_sums.write(static_cast<T*>(args.d_v) + at, own.stride, width, sequence - row);
  }
}

}  // namespace

void attention_backward_any_width(Operation& operation, const AttentionBackwardArgs& args,
                                  const RowTerms* terms, std::int64_t padded) {
  const AttentionArgs& forward = args.forward;
  const std::int64_t blocks = forward.batch * blocks_for(forward.sequence, kRowBlock);
  const auto shared_bytes = static_cast<std::size_t>(4 * tile_floats(forward.head_width)) * 4;
  with_row_sums(forward.type, forward.head_width, [&](auto type, auto groups) {
    operation.launch({blocks * forward.kv_heads, kRowThreads, shared_bytes},
                     gradient_rows_kernel<decltype(type), groups(), true>, args, terms, padded);
    operation.launch({blocks * forward.heads, kRowThreads, shared_bytes},
                     gradient_rows_kernel<decltype(type), groups(), false>, args, terms, padded);
  });
}

}  // namespace mneme::kernels::cuda
