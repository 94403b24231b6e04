// Attention in float32 arithmetic, for what the tensor-core path does not take: float32, a mode for
// tests, and bf16 heads of unusual widths. An online softmax over tiles of 32 keys.
#include "kernels/cuda/attention_paths.h"
#include "kernels/cuda/attention_rows.h"

namespace mneme::kernels::cuda {
namespace {

// The online softmax of one row, its key `lane` of a tile at a time. Scores are powers of two.
struct RowSoftmax {
  float largest = -INFINITY;
  float total = 0.0f;  // of the lane's keys

  // Returns the weight; `factor` is what earlier weights must be multiplied by. There is no largest
  // score as long as the row reads none of the keys.
  __device__ __forceinline__ float take(float score, float& factor) {
    const float top = fmaxf(largest, warp_max(score));
    const float subtracted = top == -INFINITY ? 0.0f : top;
    const float weight = exp2f(score - subtracted);
    factor = exp2f(largest - subtracted);
    largest = top;
    total = fmaf(total, factor, weight);
    return weight;
  }
};

template <typename T, int kGroups>
__global__ void __launch_bounds__(kRowThreads) attention_rows_kernel(const AttentionArgs args) {
  __shared__ float all_weights[kRowWarps][kOwnRows][kOtherRows];
  const auto sequence = static_cast<int>(args.sequence), width = static_cast<int>(args.head_width);
  const int odd = odd_stride(width);
  auto* q_tile = dynamic_shared<float>();
  float *k_tile = q_tile + kRowBlock * width, *v_tile = k_tile + kOtherRows * odd;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int blocks = (sequence + kRowBlock - 1) / kRowBlock;
  const auto head_index = static_cast<int>(blockIdx.x) / blocks;
  const int first_row = (blocks - 1 - static_cast<int>(blockIdx.x) % blocks) * kRowBlock;
  const QueryHead head = query_head(args, head_index);
  const std::int64_t q_stride = args.heads * width, kv_stride = args.kv_heads * width;
  copy_rows(q_tile, width, static_cast<const T*>(args.q) + head.q + first_row * q_stride, q_stride,
            width, sequence - first_row);

  const int row = first_row + warp * kOwnRows;  // the warp's first
  float(&weights)[kOwnRows][kOtherRows] = all_weights[warp];
  const FirstKeys first_keys(args, head_index);
  int first_key[kOwnRows];
#pragma unroll
  for (int r = 0; r < kOwnRows; ++r) first_key[r] = first_keys.or_zero(row + r);
  RowSoftmax softmax[kOwnRows];
  RowSums<kGroups> out;
  const int begin = first_keys.or_zero(first_row), end = min(sequence, first_row + kRowBlock);
  for (int key = begin; key < end; key += kOtherRows) {
    __syncthreads();
    const std::int64_t at = head.kv + key * kv_stride;
    copy_rows(k_tile, odd, static_cast<const T*>(args.k) + at, kv_stride, width, sequence - key);
    copy_rows(v_tile, width, static_cast<const T*>(args.v) + at, kv_stride, width, sequence - key);
    __syncthreads();
    float scores[kOwnRows];
    dot_rows(scores, q_tile + warp * kOwnRows * width, width, k_tile + lane * odd, width);
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r) {
      const float score = scores[r] * (args.scale * kLog2E);
      const bool read = key + lane <= row + r && key + lane >= first_key[r];
      float factor;
      weights[r][lane] = softmax[r].take(read ? score : -INFINITY, factor);
      out.scale_row(r, factor);
    }
    __syncwarp();
    out.add(weights, v_tile, width, width);
  }
#pragma unroll
  for (int r = 0; r < kOwnRows; ++r) {
    const float total = warp_sum(softmax[r].total);
    out.scale_row(r, 1.0f / total);
    if (lane == 0 && row + r < sequence) {
      args.log_sum[head_index * args.sequence + row + r] = softmax[r].largest * kLn2 + logf(total);
    }
  }
  out.write(static_cast<T*>(args.out) + head.q + row * q_stride, q_stride, width, sequence - row);
}

}  // namespace

void attention_any_width(Operation& operation, const AttentionArgs& args) {
  const std::int64_t blocks = args.batch * args.heads * blocks_for(args.sequence, kRowBlock);
  const auto shared_bytes = static_cast<std::size_t>(3 * tile_floats(args.head_width)) * 4;
  with_row_sums(args.type, args.head_width, [&](auto type, auto groups) {
    operation.launch({blocks, kRowThreads, shared_bytes},
                     attention_rows_kernel<decltype(type), groups()>, args);
  });
}

}  // namespace mneme::kernels::cuda
