// Operation route_tokens: the softmax over a mixture's experts, which of them work on which tokens,
// and their order. Sorting orders the assignments: no atomics, so that it has one result.
#include <limits>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/radix_sort.h"
#include "kernels/cuda/warp_lane.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;

// A warp for each token: its probabilities and, where `chosen` is not null, the most probable
// expert. Numbers that are not finite choose some expert, too.
__global__ void __launch_bounds__(kThreads)
    softmax_kernel(RouteTokensArgs args, std::uint32_t* chosen) {
  const int lane = lane_of_warp();
  const std::int64_t token = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (token >= args.tokens) return;
  const float* const logits = args.logits + token * args.experts;
  float* const out = args.probabilities + token * args.experts;
  float largest = -INFINITY;
  for (std::int64_t e = lane; e < args.experts; e += kWarp) largest = fmaxf(largest, logits[e]);
  largest = warp_max(largest);
  float sum = 0, best = -1.0f;
  std::uint32_t expert = 0;
  for (std::int64_t e = lane; e < args.experts; e += kWarp) {
    const float p = expf(logits[e] - largest);
    out[e] = p;
    sum += p;
    if (p > best) {
      best = p;
      expert = static_cast<std::uint32_t>(e);
    }
  }
  sum = warp_sum(sum);
  for (std::int64_t e = lane; e < args.experts; e += kWarp) out[e] /= sum;
  if (chosen == nullptr) return;
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    const float other = __shfl_xor_sync(kAllLanes, best, offset);
    const std::uint32_t its = __shfl_xor_sync(kAllLanes, expert, offset);
    if (other > best || (other == best && its < expert)) {
      best = other;
      expert = its;
    }
  }
  if (lane == 0) chosen[token] = expert;
}

__global__ void __launch_bounds__(kThreads)
    count_up_kernel(std::uint32_t* values, std::int64_t count, std::int64_t period) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < count) values[i] = static_cast<std::uint32_t>(i % period);
}

// keys[e * tokens + t]: ascending by expert, then by falling probability. What is not finite counts
// as the least.
__global__ void __launch_bounds__(kThreads)
    choice_keys_kernel(RouteTokensArgs args, std::uint64_t* keys) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= args.tokens * args.experts) return;
  const std::int64_t expert = i / args.tokens, token = i % args.tokens;
  const float p = args.probabilities[token * args.experts + expert];
  const std::uint32_t one = float_bits(1.0f);
  const std::uint32_t order = p <= 1.0f ? one - float_bits(p) : one + 1;
  keys[i] = static_cast<std::uint64_t>(expert) << 32 | order;
}

// keys[e * capacity + i] = e * tokens + the i-th token that expert e chooses.
__global__ void __launch_bounds__(kThreads)
    chosen_pairs_kernel(RouteTokensArgs args, const std::uint32_t* tokens, std::uint32_t* keys) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= args.experts * args.capacity) return;
  const std::int64_t expert = i / args.capacity, rank = i % args.capacity;
  const std::int64_t first = expert * args.tokens;
  keys[i] = static_cast<std::uint32_t>(first) + tokens[first + rank];
}

// From the assignments' pairs, ascending; `step` * expert + token, or experts alone with a step of
// 1 and the tokens beside them.
__global__ void __launch_bounds__(kThreads)
    place_kernel(RouteTokensArgs args, const std::uint32_t* pairs, std::int64_t count,
                 std::int64_t step) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= count) return;
  const std::int64_t expert = pairs[i] / step;
  if (step > 1) args.tokens_of[i] = static_cast<std::uint32_t>(pairs[i] % step);
  args.places[args.tokens_of[i] * args.experts + expert] = static_cast<std::int32_t>(i);
  // The experts from behind the last assignment's up to this one's begin here; the last assignment
  // ends the others.
  const std::int64_t before = i == 0 ? -1 : pairs[i - 1] / step;
  for (std::int64_t e = before + 1; e <= expert; ++e) {
    args.offsets[e] = static_cast<std::uint32_t>(i);
  }
  if (i + 1 < count) return;
  for (std::int64_t e = expert + 1; e <= args.experts; ++e) {
    args.offsets[e] = static_cast<std::uint32_t>(count);
  }
}

void place(Operation& operation, const RouteTokensArgs& args, const std::uint32_t* pairs,
           std::int64_t step) {
  operation.launch({blocks_for(args.assignments(), kThreads), kThreads}, place_kernel, args, pairs,
                   args.assignments(), step);
}

void route_top_one(Operation& operation, const RouteTokensArgs& args, const std::uint32_t* chosen) {
  auto* const tokens = operation.take<std::uint32_t>(args.tokens);
  auto* const experts = operation.take<std::uint32_t>(args.tokens);
  operation.launch({blocks_for(args.tokens, kThreads), kThreads}, count_up_kernel, tokens,
                   args.tokens, args.tokens);
  sort_pairs<std::uint32_t>(operation, {.keys = chosen,
                                        .sorted_keys = experts,
                                        .values = tokens,
                                        .sorted_values = args.tokens_of,
                                        .count = args.tokens,
                                        .most = static_cast<std::uint32_t>(args.experts - 1)});
  place(operation, args, experts, 1);
}

void route_expert_choice(Operation& operation, const RouteTokensArgs& args) {
  const std::int64_t pairs = args.tokens * args.experts, chosen = args.assignments();
  auto* const keys = operation.take<std::uint64_t>(pairs);
  auto* const sorted_keys = operation.take<std::uint64_t>(pairs);
  auto* const tokens = operation.take<std::uint32_t>(pairs);
  auto* const sorted_tokens = operation.take<std::uint32_t>(pairs);
  operation.launch({blocks_for(pairs, kThreads), kThreads}, choice_keys_kernel, args, keys);
  operation.launch({blocks_for(pairs, kThreads), kThreads}, count_up_kernel, tokens, pairs,
                   args.tokens);
  sort_pairs<std::uint64_t>(operation,
                            {.keys = keys,
                             .sorted_keys = sorted_keys,
                             .values = tokens,
                             .sorted_values = sorted_tokens,
                             .count = pairs,
                             .most = static_cast<std::uint64_t>(args.experts) << 32 | 0xffffffffu});
  // Each expert's tokens once more, in their order.
  auto* const unsorted = operation.take<std::uint32_t>(chosen);
  auto* const sorted = operation.take<std::uint32_t>(chosen);
  auto* const unused = operation.take<std::uint32_t>(chosen);
  operation.launch({blocks_for(chosen, kThreads), kThreads}, chosen_pairs_kernel, args,
                   sorted_tokens, unsorted);
  sort_pairs<std::uint32_t>(operation, {.keys = unsorted,
                                        .sorted_keys = sorted,
                                        .values = tokens,
                                        .sorted_values = unused,
                                        .count = chosen,
                                        .most = static_cast<std::uint32_t>(pairs - 1)});
  place(operation, args, sorted, args.tokens);
}

}  // namespace

void CudaBackend::route_tokens(Stream& stream, const RouteTokensArgs& args) {
  CHECK(args.tokens >= 1 && args.experts >= 1);
  CHECK(args.assignments() <= std::numeric_limits<std::int32_t>::max());
  CHECK(args.tokens <= std::numeric_limits<std::uint32_t>::max() / args.experts,
        "{} tokens for {} experts", args.tokens, args.experts);
  const bool top_one = args.routing == Routing::kTopOne;
  CHECK(top_one || (args.capacity >= 1 && args.capacity <= args.tokens));
  Operation operation(stream, "route_tokens");
  auto* const chosen = top_one ? operation.take<std::uint32_t>(args.tokens) : nullptr;
  operation.launch({blocks_for(args.tokens, kWarps), kThreads}, softmax_kernel, args, chosen);
  check_cuda(
      cudaMemsetAsync(args.places, 0xff,
                      static_cast<std::size_t>(args.tokens * args.experts) * sizeof(std::int32_t),
                      operation.stream().handle()),
      operation.name());  // kNoPlace
  if (top_one) {
    route_top_one(operation, args, chosen);
  } else {
    route_expert_choice(operation, args);
  }
}

}  // namespace mneme::kernels::cuda
