// out = value * silu(gate), silu(g) = g * sigmoid(g).
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/operation.h"
#include "kernels/cuda/vector_access.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kThreads = 256;

// With the special function unit: with bf16 the accurate exp and division would take longer than
// memory does. Relative error: a few units of 1e-7 times max(1, -x), and 0 and 1 far out.
__device__ __forceinline__ float fast_sigmoid(float x) {
  return __fdividef(1.0f, 1.0f + __expf(-x));
}

template <int N, typename T, typename Value>
__global__ void __launch_bounds__(kThreads)
    gated_silu_kernel(const T* gates, const Value* values, T* out, std::int64_t count,
                      bool vector) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * N;
  const std::int64_t left = count - i;
  if (left <= 0) return;
  const bool whole = vector && left >= N;
  float gate[N], value[N];
  if (whole) {
    load_vector(gates + i, gate);
    load_vector(values + i, value);
  } else {
    load_some(gates + i, left, gate);
    load_some(values + i, left, value);
  }
#pragma unroll
  for (int k = 0; k < N; ++k) value[k] *= gate[k] * fast_sigmoid(gate[k]);
  if (whole) {
    store_vector(out + i, value);
  } else {
    store_some(out + i, left, value);
  }
}

// Every element is read before it is written, so d_gates and d_outs may be one.
template <int N, typename T, typename Value>
__global__ void __launch_bounds__(kThreads)
    gated_silu_backward_kernel(const T* gates, const Value* values, const T* d_outs, T* d_gates,
                               Value* d_values, std::int64_t count, bool vector) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * N;
  const std::int64_t left = count - i;
  if (left <= 0) return;
  const bool whole = vector && left >= N;
  float gate[N], value[N], d_out[N];
  if (whole) {
    load_vector(gates + i, gate);
    load_vector(values + i, value);
    load_vector(d_outs + i, d_out);
  } else {
    load_some(gates + i, left, gate);
    load_some(values + i, left, value);
    load_some(d_outs + i, left, d_out);
  }
#pragma unroll
  for (int k = 0; k < N; ++k) {
    const float sigmoid = fast_sigmoid(gate[k]), d = d_out[k];
    d_out[k] = d * value[k] * sigmoid * (1.0f + gate[k] * (1.0f - sigmoid));
    value[k] = d * gate[k] * sigmoid;
  }
  if (whole) {
    store_vector(d_gates + i, d_out);
    store_vector(d_values + i, value);
  } else {
    store_some(d_gates + i, left, d_out);
    store_some(d_values + i, left, value);
  }
}

// Elements of a thread: 8 when all is bf16, else 4.
template <typename T, typename Value>
constexpr int kTogether = std::min(kGroup<T>, kGroup<Value>);

}  // namespace

void CudaBackend::gated_silu(Stream& stream, const GatedSiluArgs& args) {
  CHECK(args.count >= 0);
  Operation operation(stream, "gated_silu");
  with_float_type(args.type, [&](auto type) {
    with_float_type(args.value_type, [&](auto value_type) {
      using T = decltype(type);
      using Value = decltype(value_type);
      constexpr int kN = kTogether<T, Value>;
      const auto* gate = static_cast<const T*>(args.gate);
      const auto* value = static_cast<const Value*>(args.value);
      auto* out = static_cast<T*>(args.out);
      const bool vector =
          vector_aligned<kN>(gate) && vector_aligned<kN>(value) && vector_aligned<kN>(out);
      operation.launch({blocks_for(args.count, kThreads * kN), kThreads},
                       gated_silu_kernel<kN, T, Value>, gate, value, out, args.count, vector);
    });
  });
}

void CudaBackend::gated_silu_backward(Stream& stream, const GatedSiluBackwardArgs& args) {
  CHECK(args.count >= 0);
  Operation operation(stream, "gated_silu_backward");
  with_float_type(args.type, [&](auto type) {
    with_float_type(args.value_type, [&](auto value_type) {
      using T = decltype(type);
      using Value = decltype(value_type);
      constexpr int kN = kTogether<T, Value>;
      const auto* gate = static_cast<const T*>(args.gate);
      const auto* value = static_cast<const Value*>(args.value);
      const auto* d_out = static_cast<const T*>(args.d_out);
      auto* d_gate = static_cast<T*>(args.d_gate);
      auto* d_value = static_cast<Value*>(args.d_value);
      const bool vector = vector_aligned<kN>(gate) && vector_aligned<kN>(value) &&
                          vector_aligned<kN>(d_out) && vector_aligned<kN>(d_gate) &&
                          vector_aligned<kN>(d_value);
      operation.launch({blocks_for(args.count, kThreads * kN), kThreads},
                       gated_silu_backward_kernel<kN, T, Value>, gate, value, d_out, d_gate,
                       d_value, args.count, vector);
    });
  });
}

}  // namespace mneme::kernels::cuda
