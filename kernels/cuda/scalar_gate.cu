// out[t] = sigmoid(<x[t], weight> + bias) * value[t].
#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/operation.h"
#include "kernels/cuda/vector_access.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kN = 4;
constexpr int kWarps = 8;  // of a block; each has a token
constexpr int kThreads = kWarps * kWarp;
constexpr int kGroups = 4;  // of a lane: loads in flight
constexpr int kColumnsEach = kN * kGroups;
constexpr std::int64_t kStride = kWarp * kN;  // between the groups of a lane
constexpr std::int64_t kTile = kStride * kGroups;

using Tile = float[kGroups][kN];

// Which accesses may be vectors.
struct Vectors {
  bool x, value;
};

// <x, y> of rows of `width` elements; all lanes get it.
template <typename X>
__device__ __forceinline__ float warp_dot(const X* x, const float* y, std::int64_t width,
                                          std::int64_t first, bool vector) {
  float dot = 0.0f;
  for (std::int64_t c = first; c < width; c += kTile) {
    Tile a, b;
    load_row_groups(x + c, kStride, width - c, vector, a);
    load_row_groups(y + c, kStride, width - c, vector, b);
#pragma unroll
    for (int i = 0; i < kColumnsEach; ++i) {
      dot = fmaf(a[i / kN][i % kN], b[i / kN][i % kN], dot);
    }
  }
  return warp_sum(dot);
}

// out = factor * x, out may be x.
__device__ __forceinline__ void scale_row(const float* x, float factor, float* out,
                                          std::int64_t width, std::int64_t first, bool vector) {
  for (std::int64_t c = first; c < width; c += kTile) {
    Tile values;
    load_row_groups(x + c, kStride, width - c, vector, values);
#pragma unroll
    for (int i = 0; i < kColumnsEach; ++i) values[i / kN][i % kN] *= factor;
    store_row_groups(out + c, kStride, width - c, vector, values);
  }
}

template <typename X>
__global__ void __launch_bounds__(kThreads)
    scalar_gate_kernel(ScalarGateArgs args, const X* x, Vectors vectors) {
  const std::int64_t token = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (token >= args.tokens) return;
  const std::int64_t first = threadIdx.x % kWarp * kN;
  const float dot = warp_dot(x + token * args.width, args.weight, args.width, first, vectors.x);
  const float rho = 1.0f / (1.0f + expf(-(*args.bias + dot)));
  if (first == 0) args.rho[token] = rho;
  scale_row(args.value + token * args.value_width, rho, args.out + token * args.value_width,
            args.value_width, first, vectors.value);
}

// d_a = rho (1 - rho) <d_out, value>; d_value = rho d_out; d_x += d_a weight.
__global__ void __launch_bounds__(kThreads)
    scalar_gate_backward_kernel(ScalarGateBackwardArgs args, float* d_a, Vectors vectors) {
  const std::int64_t token = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (token >= args.forward.tokens) return;
  const std::int64_t first = threadIdx.x % kWarp * kN;
  const std::int64_t width = args.forward.width, value_width = args.forward.value_width;
  const float* value = args.forward.value + token * value_width;
  const float* d_out = args.d_out + token * value_width;
  const float rho = args.forward.rho[token];
  const float dot = warp_dot(d_out, value, value_width, first, vectors.value);
  const float own = rho * (1.0f - rho) * dot;
  if (first == 0) d_a[token] = own;
  scale_row(d_out, rho, args.d_value + token * value_width, value_width, first, vectors.value);
  float* d_x = args.d_x + token * width;
  for (std::int64_t c = first; c < width; c += kTile) {
    Tile sums, weights;
    load_row_groups(d_x + c, kStride, width - c, vectors.x, sums);
    load_row_groups(args.forward.weight + c, kStride, width - c, vectors.x, weights);
#pragma unroll
    for (int i = 0; i < kColumnsEach; ++i) {
      sums[i / kN][i % kN] = fmaf(own, weights[i / kN][i % kN], sums[i / kN][i % kN]);
    }
    store_row_groups(d_x + c, kStride, width - c, vectors.x, sums);
  }
}

}  // namespace

void CudaBackend::scalar_gate(Stream& stream, const ScalarGateArgs& args) {
  CHECK(args.tokens >= 0 && args.width > 0 && args.value_width > 0);
  Operation operation(stream, "scalar_gate");
  with_float_type(args.x_type, [&](auto type) {
    using X = decltype(type);
    const auto* x = static_cast<const X*>(args.x);
    const Vectors vectors{
        vector_aligned<kN>(x, args.width) && vector_aligned<kN>(args.weight),
        vector_aligned<kN>(args.value, args.value_width) && vector_aligned<kN>(args.out)};
    operation.launch({blocks_for(args.tokens, kWarps), kThreads}, scalar_gate_kernel<X>, args, x,
                     vectors);
  });
}

void CudaBackend::scalar_gate_backward(Stream& stream, const ScalarGateBackwardArgs& args) {
  const ScalarGateArgs& forward = args.forward;
  CHECK(forward.tokens >= 0 && forward.width > 0 && forward.value_width > 0);
  Operation operation(stream, "scalar_gate_backward");
  float* d_a = operation.take<float>(forward.tokens);
  const Vectors vectors{
      vector_aligned<kN>(args.d_x, forward.width) && vector_aligned<kN>(forward.weight),
      vector_aligned<kN>(forward.value, forward.value_width) && vector_aligned<kN>(args.d_out) &&
          vector_aligned<kN>(args.d_value)};
  operation.launch({blocks_for(forward.tokens, kWarps), kThreads}, scalar_gate_backward_kernel,
                   args, d_a, vectors);
  // d_weight = sum over t of d_a[t] * x[t], d_bias = sum over t of d_a[t].
  add_column_sums(operation, {.x = forward.x,
                              .type = forward.x_type,
                              .factors = d_a,
                              .out = args.d_weight,
                              .rows = forward.tokens,
                              .width = forward.width});
  add_column_sums(operation, {.x = d_a, .out = args.d_bias, .rows = forward.tokens, .width = 1});
}

}  // namespace mneme::kernels::cuda
