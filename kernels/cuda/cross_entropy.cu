// Softmax cross-entropy, its gradient in the place of the logits.
#include <cmath>
#include <limits>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/operation.h"
#include "kernels/cuda/vector_access.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kN = 4;
constexpr int kGroups = 4;
constexpr int kColumnsEach = kN * kGroups;  // of a thread, in one chunk of a row

using Chunk = float[kGroups][kN];

// A block has a row and goes through it in chunks, down for the sum and then up for the gradient,
// so that what was read last is read again first, from the caches. kVector: rows are a whole number
// of groups; else neighbouring threads have neighbouring columns, as rows start anywhere.
template <int kThreads, bool kVector>
struct RowChunks {
  static constexpr int kChunk = kThreads * kColumnsEach;
  static constexpr int kStride = kThreads * kN;  // between the groups of a thread

  std::int64_t vocabulary;
  bool aligned;

  // Of element (g, i) of the thread's part of the chunk.
  static __device__ __forceinline__ std::int64_t column(std::int64_t begin, int g, int i) {
    const std::int64_t thread = threadIdx.x;
    return kVector ? begin + g * kStride + thread * kN + i
                   : begin + (g * kN + i) * kThreads + thread;
  }
  // Columns beyond the row become -infinity.
  __device__ __forceinline__ void load_chunk(const float* row, std::int64_t begin, Chunk& x) const {
    if constexpr (kVector) {
      const std::int64_t c = column(begin, 0, 0);
      load_row_groups(row + c, kStride, vocabulary - c, aligned, x, -INFINITY);
    } else {
#pragma unroll
      for (int k = 0; k < kColumnsEach; ++k) {
        const std::int64_t c = column(begin, k / kN, k % kN);
        x[k / kN][k % kN] = c < vocabulary ? row[c] : -INFINITY;
      }
    }
  }
  template <typename T>
  __device__ __forceinline__ void store_chunk(T* row, std::int64_t begin, const Chunk& x) const {
    if constexpr (kVector) {
      const std::int64_t c = column(begin, 0, 0);
      store_row_groups(row + c, kStride, vocabulary - c, aligned, x);
    } else {
#pragma unroll
      for (int k = 0; k < kColumnsEach; ++k) {
        const std::int64_t c = column(begin, k / kN, k % kN);
        if (c < vocabulary) store(row + c, x[k / kN][k % kN]);
      }
    }
  }
};

struct SoftmaxSum {
  float largest, sum;  // sum of exp(logit - largest)
};

__device__ __forceinline__ SoftmaxSum add_chunk(const SoftmaxSum& before, const Chunk& x) {
  float largest = before.largest;
#pragma unroll
  for (int k = 0; k < kColumnsEach; ++k) largest = fmaxf(largest, x[k / kN][k % kN]);
  float sum = before.sum * expf(before.largest - largest);
#pragma unroll
  for (int k = 0; k < kColumnsEach; ++k) sum += expf(x[k / kN][k % kN] - largest);
  return {largest, sum};
}

template <int kThreads>
__device__ __forceinline__ float block_max(float x, float* shared) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  x = warp_max(x);
  if (lane == 0) shared[threadIdx.x / kWarp] = x;
  __syncthreads();
  x = warp_max(shared[lane % (kThreads / kWarp)]);
  __syncthreads();
  return x;
}

// The row's sum; all threads get it.
template <int kThreads, bool kVector>
__device__ __forceinline__ SoftmaxSum row_sum(const RowChunks<kThreads, kVector>& chunks,
                                              const float* row) {
  __shared__ float shared[kWarp + 1];
  constexpr std::int64_t kChunk = RowChunks<kThreads, kVector>::kChunk;
  // Lower than any finite logit, and no infinity that would be subtracted from itself.
  SoftmaxSum sum = {std::numeric_limits<float>::lowest(), 0.0f};
  for (std::int64_t begin = (chunks.vocabulary - 1) / kChunk * kChunk; begin >= 0;
       begin -= kChunk) {
    Chunk x;
    chunks.load_chunk(row, begin, x);
    sum = add_chunk(sum, x);
  }
  const float largest = block_max<kThreads>(sum.largest, shared);
  return {largest, block_sum(sum.sum * expf(sum.largest - largest), shared)};
}

template <int kThreads, bool kVector, typename Gradient>
__global__ void __launch_bounds__(kThreads, 1024 / kThreads)
    cross_entropy_kernel(CrossEntropyArgs args, RowChunks<kThreads, kVector> chunks,
                         DeviceReport* reports) {
  const std::int64_t row = blockIdx.x;
  float* logits = args.logits + row * args.vocabulary;
  const std::int64_t target = args.targets[row];
  const bool known = target >= 0 && target < args.vocabulary;
  // Read before the barriers of the sum: writes come after them.
  const float target_logit = known ? logits[target] : NAN;
  const SoftmaxSum sum = row_sum(chunks, logits);
  if (threadIdx.x == 0) {
    args.losses[row] = logf(sum.sum) + (sum.largest - target_logit);
    if (!known) report(reports, ReportCode::kTargetOutside, target, row, args.vocabulary);
  }
  if (args.d_scale == 0.0f) return;
  auto* gradient = reinterpret_cast<Gradient*>(logits);
  const float factor = args.d_scale / sum.sum;
  for (std::int64_t begin = 0; begin < args.vocabulary; begin += chunks.kChunk) {
    Chunk x;
    chunks.load_chunk(logits, begin, x);
    // A bf16 gradient fills the first half of the row: chunk k overwrites logits of chunks up to k,
    // which all threads have read then.
    if constexpr (sizeof(Gradient) < sizeof(float)) __syncthreads();
#pragma unroll
    for (int k = 0; k < kColumnsEach; ++k) {
      float& value = x[k / kN][k % kN];
      value = expf(value - sum.largest) * factor;
      if (chunks.column(begin, k / kN, k % kN) == target) value -= args.d_scale;
    }
    chunks.store_chunk(gradient, begin, x);
  }
}

template <int kThreads, bool kVector>
void launch_cross_entropy(Operation& operation, const CrossEntropyArgs& args) {
  const RowChunks<kThreads, kVector> chunks{args.vocabulary, vector_aligned<kN>(args.logits)};
  with_float_type(args.gradient_type, [&](auto type) {
    operation.launch({args.rows, kThreads}, cross_entropy_kernel<kThreads, kVector, decltype(type)>,
                     args, chunks, operation.report());
  });
}

template <int kThreads>
void launch_cross_entropy(Operation& operation, const CrossEntropyArgs& args) {
  if (args.vocabulary % kN == 0) {
    launch_cross_entropy<kThreads, true>(operation, args);
  } else {
    launch_cross_entropy<kThreads, false>(operation, args);
  }
}

}  // namespace

void CudaBackend::cross_entropy(Stream& stream, const CrossEntropyArgs& args) {
  CHECK(args.rows >= 0 && args.vocabulary > 0);
  Operation operation(stream, "cross_entropy");
  // Two rows at once a multiprocessor, so that one of them always reads or writes; one where two
  // would not stay in the second-level cache until they are read again.
  if (args.vocabulary <= 4096) {
    launch_cross_entropy<128>(operation, args);
  } else if (args.vocabulary <= 65536) {
    launch_cross_entropy<512>(operation, args);
  } else {
    launch_cross_entropy<1024>(operation, args);
  }
}

}  // namespace mneme::kernels::cuda
