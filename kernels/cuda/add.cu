// Elementwise additions.
#include <limits>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/operation.h"
#include "kernels/cuda/vector_access.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kN = 4;  // elements of a thread in add()

// A thread has N neighbours of a row. groups: of all rows, row_groups: of one. Count: holds
// `groups`; remainders of 64 bits would take longer than memory does.
template <int N, typename Count, typename T>
__global__ void __launch_bounds__(kThreads)
    add_bias_kernel(T* x, const float* bias, Count groups, Count row_groups) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= static_cast<std::int64_t>(groups)) return;
  const auto column = static_cast<std::int64_t>(static_cast<Count>(i) % row_groups) * N;
  if constexpr (N == 1) {
    store(x + i, load(x + i) + bias[column]);
  } else {
    float sums[N], terms[N];
    load_vector(x + i * N, sums);
    load_vector(bias + column, terms);
#pragma unroll
    for (int k = 0; k < N; ++k) sums[k] += terms[k];
    store_vector(x + i * N, sums);
  }
}

template <int N, typename T>
void launch_add_bias(Operation& operation, const AddBiasArgs& args) {
  auto* x = static_cast<T*>(args.x);
  const std::int64_t row_groups = args.width / N, groups = args.rows * row_groups;
  const Grid grid{blocks_for(groups, kThreads), kThreads};
  if (groups <= std::numeric_limits<std::uint32_t>::max()) {
    operation.launch(grid, add_bias_kernel<N, std::uint32_t, T>, x, args.bias, groups, row_groups);
  } else {
    operation.launch(grid, add_bias_kernel<N, std::uint64_t, T>, x, args.bias, groups, row_groups);
  }
}

__global__ void __launch_bounds__(kThreads)
    add_kernel(float* out, const float* x, std::int64_t count, bool vector) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * kN;
  const std::int64_t left = count - i;
  if (left <= 0) return;
  const bool whole = vector && left >= kN;
  float sums[kN], terms[kN];
  if (whole) {
    load_vector(out + i, sums);
    load_vector(x + i, terms);
  } else {
    load_some(out + i, left, sums);
    load_some(x + i, left, terms);
  }
#pragma unroll
  for (int k = 0; k < kN; ++k) sums[k] += terms[k];
  if (whole) {
    store_vector(out + i, sums);
  } else {
    store_some(out + i, left, sums);
  }
}

}  // namespace

void CudaBackend::add_bias(Stream& stream, const AddBiasArgs& args) {
  CHECK(args.rows >= 0 && args.width >= 0);
  Operation operation(stream, "add_bias");
  with_float_type(args.type, [&](auto type) {
    using T = decltype(type);
    constexpr int kWide = kGroup<T>;
    if (vector_aligned<kWide>(static_cast<const T*>(args.x), args.width) &&
        vector_aligned<kWide>(args.bias)) {
      launch_add_bias<kWide, T>(operation, args);
    } else {
      launch_add_bias<1, T>(operation, args);
    }
  });
}

void CudaBackend::add(Stream& stream, float* out, const float* x, std::int64_t count) {
  CHECK(count >= 0);
  Operation operation(stream, "add");
  operation.launch({blocks_for(count, kThreads * kN), kThreads}, add_kernel, out, x, count,
                   vector_aligned<kN>(out) && vector_aligned<kN>(x));
}

}  // namespace mneme::kernels::cuda
