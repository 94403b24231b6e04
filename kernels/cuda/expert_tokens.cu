// Tokens to their experts, and back: gather_tokens, combine_experts, combine_experts_backward. A
// warp for each row.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/operation.h"
#include "kernels/cuda/vector_access.h"
#include "kernels/cuda/warp_lane.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kWarps = 8;  // of a block
constexpr int kThreads = kWarps * kWarp;
constexpr int kGroups = 4;          // of a lane: loads in flight
constexpr int kCombinedGroups = 2;  // of either of two arrays

__device__ __forceinline__ std::int64_t row_of_warp() {
  return std::int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
}

template <int N, typename T>
__global__ void __launch_bounds__(kThreads)
    gather_tokens_kernel(const T* x, const std::uint32_t* tokens_of, T* out, std::int64_t count,
                         std::int64_t width, bool vector) {
  const std::int64_t i = row_of_warp();
  if (i >= count) return;
  const T* from = x + std::int64_t{tokens_of[i]} * width;
  T* to = out + i * width;
  for (std::int64_t c = lane_of_warp() * N; c < width; c += kWarp * N * kGroups) {
    float values[kGroups][N];
    load_row_groups(from + c, kWarp * N, width - c, vector, values);
    store_row_groups(to + c, kWarp * N, width - c, vector, values);
  }
}

// Calls body(expert, place) for a token's assignments, in the order of the experts, in all lanes.
template <typename Body>
__device__ __forceinline__ void for_each_assignment(const std::int32_t* places,
                                                    std::int64_t experts, const Body& body) {
  for (std::int64_t first = 0; first < experts; first += kWarp) {
    const std::int64_t e = first + lane_of_warp();
    const std::int32_t own = e < experts ? places[e] : kNoPlace;
    unsigned left = __ballot_sync(kAllLanes, own != kNoPlace);
    while (left != 0) {
      const int lane = __ffs(static_cast<int>(left)) - 1;
      left &= left - 1;
      body(first + lane, std::int64_t{__shfl_sync(kAllLanes, own, lane)});
    }
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    combine_experts_kernel(CombineExpertsArgs args, const T* y, bool vector) {
  constexpr int kN = 4;
  const std::int64_t token = row_of_warp(), width = args.width;
  if (token >= args.tokens) return;
  float* out = args.out + token * width;
  const float* probabilities =
      args.probabilities == nullptr ? nullptr : args.probabilities + token * args.experts;
  for_each_assignment(
      args.places + token * args.experts, args.experts, [=](std::int64_t e, std::int64_t place) {
        const float p = probabilities == nullptr ? 1.0f : probabilities[e];
        const T* row = y + place * width;
        for (std::int64_t c = lane_of_warp() * kN; c < width; c += kWarp * kN * kCombinedGroups) {
          float sums[kCombinedGroups][kN], values[kCombinedGroups][kN];
          load_row_groups(out + c, kWarp * kN, width - c, vector, sums);
          load_row_groups(row + c, kWarp * kN, width - c, vector, values);
#pragma unroll
          for (int i = 0; i < kCombinedGroups * kN; ++i) {
            sums[i / kN][i % kN] = fmaf(p, values[i / kN][i % kN], sums[i / kN][i % kN]);
          }
          store_row_groups(out + c, kWarp * kN, width - c, vector, sums);
        }
      });
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    combine_experts_backward_kernel(CombineExpertsBackwardArgs args, const T* y, T* d_y,
                                    bool vector) {
  constexpr int kN = 4;
  const CombineExpertsArgs& forward = args.forward;
  const std::int64_t token = row_of_warp(), width = forward.width;
  if (token >= forward.tokens) return;
  const std::int64_t first = token * forward.experts;
  const auto balance = [&](std::int64_t e) {
    return args.balance * static_cast<float>(args.offsets[e + 1] - args.offsets[e]);
  };
  for (std::int64_t e = lane_of_warp(); e < forward.experts; e += kWarp) {
    if (forward.places[first + e] == kNoPlace) args.d_probabilities[first + e] = balance(e);
  }
  const float* d_out = args.d_out + token * width;
  for_each_assignment(
      forward.places + first, forward.experts, [&](std::int64_t e, std::int64_t place) {
        const float p = forward.probabilities[first + e];
        float dot = 0;
        for (std::int64_t c = lane_of_warp() * kN; c < width; c += kWarp * kN * kGroups) {
          float d[kGroups][kN], values[kGroups][kN];
          load_row_groups(d_out + c, kWarp * kN, width - c, vector, d);
          load_row_groups(y + place * width + c, kWarp * kN, width - c, vector, values);
#pragma unroll
          for (int i = 0; i < kGroups * kN; ++i) {
            dot = fmaf(d[i / kN][i % kN], values[i / kN][i % kN], dot);
            d[i / kN][i % kN] *= p;
          }
          store_row_groups(d_y + place * width + c, kWarp * kN, width - c, vector, d);
        }
        dot = warp_sum(dot);
        if (lane_of_warp() == 0) args.d_probabilities[first + e] = dot + balance(e);
      });
}

void check_combine(const CombineExpertsArgs& args) {
  CHECK(args.tokens >= 0 && args.experts >= 1 && args.width >= 1 && args.places != nullptr);
}

}  // namespace

void CudaBackend::gather_tokens(Stream& stream, const GatherTokensArgs& args) {
  CHECK(args.assignments >= 0 && args.width >= 1);
  Operation operation(stream, "gather_tokens");
  with_float_type(args.type, [&](auto type) {
    using T = decltype(type);
    constexpr int kN = kGroup<T>;
    const auto* x = static_cast<const T*>(args.x);
    auto* out = static_cast<T*>(args.out);
    operation.launch({blocks_for(args.assignments, kWarps), kThreads}, gather_tokens_kernel<kN, T>,
                     x, args.tokens_of, out, args.assignments, args.width,
                     vector_aligned<kN>(x, args.width) && vector_aligned<kN>(out));
  });
}

void CudaBackend::combine_experts(Stream& stream, const CombineExpertsArgs& args) {
  check_combine(args);
  Operation operation(stream, "combine_experts");
  with_float_type(args.type, [&](auto type) {
    using T = decltype(type);
    const auto* y = static_cast<const T*>(args.y);
    operation.launch({blocks_for(args.tokens, kWarps), kThreads}, combine_experts_kernel<T>, args,
                     y, vector_aligned<4>(y, args.width) && vector_aligned<4>(args.out));
  });
}

void CudaBackend::combine_experts_backward(Stream& stream, const CombineExpertsBackwardArgs& args) {
  check_combine(args.forward);
  CHECK(args.forward.probabilities != nullptr && args.offsets != nullptr);
  Operation operation(stream, "combine_experts_backward");
  with_float_type(args.forward.type, [&](auto type) {
    using T = decltype(type);
    const auto* y = static_cast<const T*>(args.forward.y);
    auto* d_y = static_cast<T*>(args.d_y);
    operation.launch({blocks_for(args.forward.tokens, kWarps), kThreads},
                     combine_experts_backward_kernel<T>, args, y, d_y,
                     vector_aligned<4>(y, args.forward.width) && vector_aligned<4>(d_y) &&
                         vector_aligned<4>(args.d_out));
  });
}

}  // namespace mneme::kernels::cuda
