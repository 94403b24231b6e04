// Operation softmax_backward of the CUDA backend: a warp for each group.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device_math.h"
#include "kernels/cuda/operation.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;

// d_scores may be d_weights: a lane reads and writes the same elements.
__global__ void __launch_bounds__(kThreads)
    softmax_backward_kernel(const float* weights, const float* d_weights, float* d_scores,
                            std::int64_t groups, std::int64_t knn) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t group =
      std::int64_t{blockIdx.x} * kWarps + static_cast<int>(threadIdx.x) / kWarp;
  if (group >= groups) return;
  const float* w = weights + group * knn;
  const float* d_w = d_weights + group * knn;
  float mean = 0;
  for (std::int64_t j = lane; j < knn; j += kWarp) mean = fmaf(w[j], d_w[j], mean);
  mean = warp_sum(mean);
  for (std::int64_t j = lane; j < knn; j += kWarp) {
    d_scores[group * knn + j] = w[j] * (d_w[j] - mean);
  }
}

}  // namespace

void CudaBackend::softmax_backward(Stream& stream, const SoftmaxBackwardArgs& args) {
  CHECK(args.knn >= 1 && args.weights != nullptr && args.d_weights != nullptr &&
        args.d_scores != nullptr);
  Operation operation(stream, "softmax_backward");
  operation.launch({blocks_for(args.groups, kWarps), kThreads}, softmax_backward_kernel,
                   args.weights, args.d_weights, args.d_scores, args.groups, args.knn);
}

}  // namespace mneme::kernels::cuda
