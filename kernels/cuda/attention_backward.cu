// Backward of attention. Weights are computed again from the kept log sums, once for the gradients
// of keys and values and once for those of queries: each gradient is then summed by one block in a
// fixed order, where sharing the scores would take float atomics.
//
//   weight = e^(scale * score - log_sum)        d_v = sum over queries of weight * d_out
//   d_score = weight * (<d_out, v> - delta)     d_k = scale * sum over queries of d_score * q
//   delta = <out, d_out>                        d_q = scale * sum over keys of d_score * k
#include "kernels/cuda/attention_paths.h"
#include "kernels/cuda/attention_tiles.h"
#include "kernels/cuda/cuda_backend.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kTermThreads = 256;
constexpr int kTermLanes = 8;  // of a row
constexpr int kTermRows = kTermThreads / kTermLanes;
static_assert(kRowTermsPadding % kTermRows == 0);

// kVectors: rows are aligned to 16 bytes.
template <typename T, bool kVectors>
__device__ __forceinline__ float part_of_dot(const T* x, const T* y, int width, int lane) {
  float sum = 0.0f;
  if constexpr (kVectors) {
    for (int column = lane * kColumns; column < width; column += kTermLanes * kColumns) {
      float a[kColumns], b[kColumns];
      load_columns(x + column, a);
      load_columns(y + column, b);
#pragma unroll
      for (int i = 0; i < kColumns; ++i) sum = fmaf(a[i], b[i], sum);
    }
  } else {
    for (int column = lane; column < width; column += kTermLanes) {
      sum = fmaf(load(x + column), load(y + column), sum);
    }
  }
  return sum;
}

// padded: the sequence, rounded up.
template <typename T, bool kVectors>
__global__ void __launch_bounds__(kTermThreads)
    row_terms_kernel(const AttentionArgs args, const T* d_out, RowTerms* terms, int padded) {
  const int blocks = padded / kTermRows;  // of a head
  const auto head_index = static_cast<int>(blockIdx.x) / blocks;
  const int lane = static_cast<int>(threadIdx.x) % kTermLanes;
  const int row = static_cast<int>(blockIdx.x) % blocks * kTermRows +
                  static_cast<int>(threadIdx.x) / kTermLanes;
  float delta = 0.0f;
  if (row < args.sequence) {
    const std::int64_t at = query_head(args, head_index).q + row * args.heads * args.head_width;
    delta = part_of_dot<T, kVectors>(static_cast<const T*>(args.out) + at, d_out + at,
                                     static_cast<int>(args.head_width), lane);
  }
  for (int offset = kTermLanes / 2; offset > 0; offset /= 2) {
    delta += __shfl_xor_sync(kAllLanes, delta, offset);
  }
  if (lane != 0) return;
  terms[std::int64_t{head_index} * padded + row] =
      row < args.sequence ? RowTerms{args.log_sum[head_index * args.sequence + row] * kLog2E, delta}
                          : RowTerms{INFINITY, 0.0f};
}

}  // namespace

void CudaBackend::attention_backward(Stream& stream, const AttentionBackwardArgs& args) {
  const AttentionArgs& forward = args.forward;
  check_attention(forward);
  Operation operation(stream, "attention_backward");
  const std::int64_t padded = blocks_for(forward.sequence, kRowTermsPadding) * kRowTermsPadding;
  const std::int64_t rows = forward.batch * forward.heads * padded;
  auto* terms = operation.take<RowTerms>(rows);
  const bool tiles = takes_tiles(args);
  with_float_type(forward.type, [&](auto type) {
    using T = decltype(type);
    operation.launch({rows / kTermRows, kTermThreads},
                     tiles ? row_terms_kernel<T, true> : row_terms_kernel<T, false>, forward,
                     static_cast<const T*>(args.d_out), terms, padded);
  });
  tiles ? attention_backward_tiles(operation, args, terms, padded)
        : attention_backward_any_width(operation, args, terms, padded);
}

}  // namespace mneme::kernels::cuda
