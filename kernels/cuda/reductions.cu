// Sums over rows and over whole ranges, and the clip factor that follows from one.
#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/operation.h"
#include "kernels/cuda/vector_access.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kN = 4;
constexpr int kUnroll = 4;  // groups of a thread that are in flight together
constexpr std::int64_t kTile = kThreads * kN * kUnroll;
constexpr std::int64_t kChunk = 8 * kTile;  // elements of a block
constexpr int kTotalThreads = 1024;

// partial[block] = sum of the block's elements or of their squares.
template <bool kSquares>
__global__ void __launch_bounds__(kThreads)
    partial_sums_kernel(const float* x, std::int64_t count, bool vector, double* partial) {
  __shared__ double shared[kWarp + 1];
  const std::int64_t begin = std::int64_t{blockIdx.x} * kChunk;
  const std::int64_t end = min(begin + kChunk, count);
  double sum = 0;
  for (std::int64_t tile = begin; tile < end; tile += kTile) {
    float values[kUnroll][kN];
    const std::int64_t first = tile + std::int64_t{threadIdx.x} * kN;
    load_groups(x + first, kThreads * kN, end - first, vector, values);
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
#pragma unroll
      for (int i = 0; i < kN; ++i) {
        const double value = values[u][i];
        sum = kSquares ? fma(value, value, sum) : sum + value;
      }
    }
  }
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// *out = sum of partial. One block.
__global__ void __launch_bounds__(kTotalThreads)
    total_kernel(const double* partial, std::int64_t count, double* out) {
  __shared__ double shared[kWarp + 1];
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += kTotalThreads) sum += partial[i];
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) *out = sum;
}

// One warp: a thread a group.
__global__ void __launch_bounds__(kWarp) clip_scale_kernel(ClipScaleArgs args) {
  __shared__ double sums[kMostClipGroups];
  const auto group = static_cast<int>(threadIdx.x);
  if (group < args.groups) {
    double sum = 0;
    for (std::int64_t chunk = 0; chunk < args.chunks; ++chunk) {
      sum += args.square_sums[chunk * args.groups + group];
    }
    sums[group] = sum;
  }
  __syncthreads();
  if (group != 0) return;
  const double total = tree_sum(sums, args.groups);
  if (args.total != nullptr) *args.total = total;
  *args.scale = clip_factor(total, args.limit);
}

template <bool kSquares>
void queue_sum(Operation& operation, const float* x, std::int64_t count, double* out) {
  const std::int64_t blocks = blocks_for(count, kChunk);
  double* partial = operation.take<double>(blocks);
  operation.launch({blocks, kThreads}, partial_sums_kernel<kSquares>, x, count,
                   vector_aligned<kN>(x), partial);
  operation.launch({1, kTotalThreads}, total_kernel, partial, blocks, out);
}

}  // namespace

void CudaBackend::sum_rows(Stream& stream, const SumRowsArgs& args) {
  CHECK(args.rows >= 0 && args.width >= 0);
  Operation operation(stream, "sum_rows");
  add_column_sums(
      operation,
      {.x = args.x, .type = args.type, .out = args.out, .rows = args.rows, .width = args.width});
}

void CudaBackend::sum(Stream& stream, const float* x, std::int64_t count, double* out) {
  CHECK(count >= 0);
  Operation operation(stream, "sum");
  queue_sum<false>(operation, x, count, out);
}

void CudaBackend::sum_of_squares(Stream& stream, const float* x, std::int64_t count, double* out) {
  CHECK(count >= 0);
  Operation operation(stream, "sum_of_squares");
  queue_sum<true>(operation, x, count, out);
}

void CudaBackend::clip_scale(Stream& stream, const ClipScaleArgs& args) {
  CHECK(args.chunks >= 1 && args.groups >= 1 && args.groups <= kMostClipGroups);
  Operation operation(stream, "clip_scale");
  operation.launch({1, kWarp}, clip_scale_kernel, args);
}

}  // namespace mneme::kernels::cuda
