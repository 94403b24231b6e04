// Operation route_tokens of the CPU backend: which experts of a mixture work on which tokens.
#include <algorithm>
#include <limits>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector_math.h"

namespace mneme::kernels::cpu {
namespace {

void softmax(const float* logits, std::int64_t count, float* out) {
  vectorised([=]() MNEME_VECTORISE {
    const float largest =
        lane_max(count, [=](std::int64_t e) MNEME_VECTORISE { return logits[e]; });
    for (std::int64_t e = 0; e < count; ++e) out[e] = fast_exp(logits[e] - largest);
    const float sum = lane_sum(count, [=](std::int64_t e) MNEME_VECTORISE { return out[e]; });
    for (std::int64_t e = 0; e < count; ++e) out[e] /= sum;
  });
}

void softmax_tokens(const RouteTokensArgs& args) {
  parallel_chunks(args.tokens, rows_per_chunk(args.experts * 8),
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t t = begin; t < end; ++t) {
                      softmax(args.logits + t * args.experts, args.experts,
                              args.probabilities + t * args.experts);
                    }
                  });
}

// Assignments in the order of the tokens, after `offsets` has the experts' starts.
void place(const RouteTokensArgs& args, std::int64_t token, std::int64_t expert,
           std::uint32_t assignment) {
  args.tokens_of[assignment] = static_cast<std::uint32_t>(token);
  args.places[token * args.experts + expert] = static_cast<std::int32_t>(assignment);
}

void route_top_one(const RouteTokensArgs& args, Scratch& scratch) {
  auto* const expert_of = scratch.take<std::uint32_t>(args.tokens);
  parallel_chunks(
      args.tokens, rows_per_chunk(args.experts * 4), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
          const float* const p = args.probabilities + t * args.experts;
          expert_of[t] = static_cast<std::uint32_t>(std::max_element(p, p + args.experts) -
                                                    p);  // the first of equal ones
        }
      });
  std::fill(args.offsets, args.offsets + args.experts + 1, 0u);
  for (std::int64_t t = 0; t < args.tokens; ++t) ++args.offsets[expert_of[t] + 1];
  for (std::int64_t e = 0; e < args.experts; ++e) args.offsets[e + 1] += args.offsets[e];
  auto* const next = scratch.take<std::uint32_t>(args.experts);
  std::copy(args.offsets, args.offsets + args.experts, next);
  for (std::int64_t t = 0; t < args.tokens; ++t) {
    place(args, t, expert_of[t], next[expert_of[t]]++);
  }
}

void route_expert_choice(const RouteTokensArgs& args, Scratch& scratch) {
  for (std::int64_t e = 0; e <= args.experts; ++e) {
    args.offsets[e] = static_cast<std::uint32_t>(e * args.capacity);
  }
  auto* const lists = scratch.take<std::uint32_t>(thread_slots() * args.tokens);
  parallel_tasks(args.experts, [&](std::int64_t e) {
    std::uint32_t* const list = lists + thread_slot() * args.tokens;
    for (std::int64_t t = 0; t < args.tokens; ++t) list[t] = static_cast<std::uint32_t>(t);
    const auto probability = [&](std::uint32_t t) {
      return args.probabilities[t * args.experts + e];
    };
    // NaN would leave no order: it counts as the least.
    const auto key = [&](std::uint32_t t) {
      const float p = probability(t);
      return p == p ? p : -1.0f;
    };
    std::nth_element(list, list + (args.capacity - 1), list + args.tokens,
                     [&](std::uint32_t a, std::uint32_t b) {
                       return key(a) != key(b) ? key(a) > key(b) : a < b;
                     });
    std::sort(list, list + args.capacity);
    for (std::int64_t i = 0; i < args.capacity; ++i) {
      place(args, list[i], e, static_cast<std::uint32_t>(e * args.capacity + i));
    }
  });
}

}  // namespace

void CpuBackend::route_tokens(Stream& stream, const RouteTokensArgs& args) {
  CHECK(args.tokens >= 1 && args.experts >= 1);
  CHECK(args.assignments() <= std::numeric_limits<std::int32_t>::max());
  CHECK(args.routing == Routing::kTopOne || (args.capacity >= 1 && args.capacity <= args.tokens));
  on(stream).enqueue([args](Scratch& scratch) {
    softmax_tokens(args);
    std::fill(args.places, args.places + args.tokens * args.experts, kNoPlace);
    if (args.routing == Routing::kTopOne) {
      route_top_one(args, scratch);
    } else {
      route_expert_choice(args, scratch);
    }
  });
}

}  // namespace mneme::kernels::cpu
