// Elementwise additions.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device_math.h"
#include "kernels/cuda/operation.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kThreads = 256;

template <typename T>
__global__ void add_bias_kernel(T* x, const float* bias, std::int64_t rows, std::int64_t width) {
  const std::int64_t count = rows * width;
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    store(x + i, load(x + i) + bias[i % width]);
  }
}

__global__ void add_kernel(float* out, const float* x, std::int64_t count) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) out[i] += x[i];
}

}  // namespace

void CudaBackend::add_bias(Stream& stream, const AddBiasArgs& args) {
  CHECK(args.rows >= 0 && args.width >= 0);
  Operation operation(stream, "add_bias");
  with_float_type(args.type, [&](auto type) {
    using T = decltype(type);
    operation.launch({blocks_for(args.rows * args.width, kThreads), kThreads}, add_bias_kernel<T>,
                     static_cast<T*>(args.x), args.bias, args.rows, args.width);
  });
}

void CudaBackend::add(Stream& stream, float* out, const float* x, std::int64_t count) {
  CHECK(count >= 0);
  Operation operation(stream, "add");
  operation.launch({blocks_for(count, kThreads), kThreads}, add_kernel, out, x, count);
}

}  // namespace mneme::kernels::cuda
