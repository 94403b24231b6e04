// What a look-up's expert contributes, and its backward.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device_math.h"
#include "kernels/cuda/operation.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) expert_activation_kernel(ExpertActivationArgs args) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < args.count) args.factors[i] = args.weights[i] * gelu(args.dots[i]);
}

__global__ void __launch_bounds__(kThreads)
    expert_activation_backward_kernel(ExpertActivationBackwardArgs args) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= args.count) return;
  const float dot = args.dots[i], d_factor = args.d_factors[i];
  args.d_dots[i] = d_factor * args.weights[i] * gelu_slope(dot);
  args.d_weights[i] = d_factor * gelu(dot);
}

}  // namespace

void CudaBackend::expert_activation(Stream& stream, const ExpertActivationArgs& args) {
  CHECK(args.count >= 0);
  Operation operation(stream, "expert_activation");
  operation.launch({blocks_for(args.count, kThreads), kThreads}, expert_activation_kernel, args);
}

void CudaBackend::expert_activation_backward(Stream& stream,
                                             const ExpertActivationBackwardArgs& args) {
  CHECK(args.count >= 0);
  Operation operation(stream, "expert_activation_backward");
  operation.launch({blocks_for(args.count, kThreads), kThreads}, expert_activation_backward_kernel,
                   args);
}

}  // namespace mneme::kernels::cuda
