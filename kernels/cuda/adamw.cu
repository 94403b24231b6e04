// Dense AdamW over one parameter range.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/operation.h"
#include "kernels/cuda/vector_access.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kN = 4;

struct AdamWArrays {
  float* values;
  const float* gradients;
  float* moment1;
  float* moment2;
  const float* grad_scale;  // null for 1
  std::int64_t count;
  bool vector;
};

// 28 bytes an element: all four arrays are read, three of them written.
__global__ void __launch_bounds__(kThreads) adamw_kernel(AdamWArrays arrays, AdamWScalars scalars) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * kN;
  const std::int64_t left = arrays.count - i;
  if (left <= 0) return;
  const bool whole = arrays.vector && left >= kN;
  float gradients[kN], values[kN], moment1[kN], moment2[kN];
  if (whole) {
    load_vector(arrays.gradients + i, gradients);
    load_vector(arrays.values + i, values);
    load_vector(arrays.moment1 + i, moment1);
    load_vector(arrays.moment2 + i, moment2);
  } else {
    load_some(arrays.gradients + i, left, gradients);
    load_some(arrays.values + i, left, values);
    load_some(arrays.moment1 + i, left, moment1);
    load_some(arrays.moment2 + i, left, moment2);
  }
  const float grad_scale = arrays.grad_scale == nullptr ? 1.0f : *arrays.grad_scale;
#pragma unroll
  for (int k = 0; k < kN; ++k) {
    const float gradient = grad_scale == 0.0f ? 0.0f : gradients[k] * grad_scale;
    adamw_element(scalars, gradient, values[k], moment1[k], moment2[k]);
  }
  if (whole) {
    store_vector(arrays.values + i, values);
    store_vector(arrays.moment1 + i, moment1);
    store_vector(arrays.moment2 + i, moment2);
  } else {
    store_some(arrays.values + i, left, values);
    store_some(arrays.moment1 + i, left, moment1);
    store_some(arrays.moment2 + i, left, moment2);
  }
}

}  // namespace

void CudaBackend::adamw(Stream& stream, const AdamWArgs& args) {
  CHECK(args.count >= 0);
  CHECK(args.step >= 1, "steps count from 1");
  Operation operation(stream, "adamw");
  const AdamWScalars scalars = adamw_scalars({.step = args.step,
                                              .learning_rate = args.learning_rate,
                                              .beta1 = args.beta1,
                                              .beta2 = args.beta2,
                                              .epsilon = args.epsilon,
                                              .weight_decay = args.weight_decay});
  const bool vector = vector_aligned<kN>(args.parameters) && vector_aligned<kN>(args.gradients) &&
                      vector_aligned<kN>(args.moment1) && vector_aligned<kN>(args.moment2);
  const AdamWArrays arrays{args.parameters, args.gradients, args.moment1, args.moment2,
                           args.grad_scale, args.count,     vector};
  operation.launch({blocks_for(args.count, kThreads * kN), kThreads}, adamw_kernel, arrays,
                   scalars);
}

}  // namespace mneme::kernels::cuda
