// Operations gather_tokens, combine_experts and combine_experts_backward of the CPU backend: tokens
// to their experts, and back.
#include <cstring>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector_math.h"

namespace mneme::kernels::cpu {
namespace {

// Calls body(expert, place) for the assignments of a token, in the order of the experts.
template <typename Body>
void for_each_assignment(const CombineExpertsArgs& args, std::int64_t token, const Body& body) {
  const std::int32_t* const places = args.places + token * args.experts;
  for (std::int64_t e = 0; e < args.experts; ++e) {
    if (places[e] != kNoPlace) body(e, std::int64_t{places[e]});
  }
}

void combine_token(const CombineExpertsArgs& args, std::int64_t token) {
  float* const out = args.out + token * args.width;
  const std::int64_t width = args.width;
  for_each_assignment(args, token, [&](std::int64_t e, std::int64_t place) {
    const float* const y = f32(args.y) + place * width;
    const float p =
        args.probabilities == nullptr ? 1.0f : args.probabilities[token * args.experts + e];
    vectorised([=]() MNEME_VECTORISE {
      for (std::int64_t i = 0; i < width; ++i) out[i] += p * y[i];
    });
  });
}

void combine_token_backward(const CombineExpertsBackwardArgs& args, std::int64_t token) {
  const CombineExpertsArgs& forward = args.forward;
  const std::int64_t width = forward.width, first = token * forward.experts;
  const float* const d_out = args.d_out + token * width;
  for (std::int64_t e = 0; e < forward.experts; ++e) {
    args.d_probabilities[first + e] =
        args.balance * static_cast<float>(args.offsets[e + 1] - args.offsets[e]);
  }
  for_each_assignment(forward, token, [&](std::int64_t e, std::int64_t place) {
    const float* const y = f32(forward.y) + place * width;
    float* const d_y = f32(args.d_y) + place * width;
    const float p = forward.probabilities[first + e];
    args.d_probabilities[first + e] += vectorised([=]() MNEME_VECTORISE {
      const float dot =
          lane_sum(width, [=](std::int64_t i) MNEME_VECTORISE { return d_out[i] * y[i]; });
      for (std::int64_t i = 0; i < width; ++i) d_y[i] = p * d_out[i];
      return dot;
    });
  });
}

void check_combine(const CombineExpertsArgs& args) {
  check_float32(args.type);
  CHECK(args.tokens >= 0 && args.experts >= 1 && args.width >= 1 && args.places != nullptr);
}

}  // namespace

void CpuBackend::gather_tokens(Stream& stream, const GatherTokensArgs& args) {
  check_float32(args.type);
  CHECK(args.assignments >= 0 && args.width >= 1);
  on(stream).enqueue([args](Scratch&) {
    const auto bytes = static_cast<std::size_t>(args.width) * sizeof(float);
    parallel_chunks(args.assignments, rows_per_chunk(static_cast<std::int64_t>(2 * bytes)),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t i = begin; i < end; ++i) {
                        std::memcpy(f32(args.out) + i * args.width,
                                    f32(args.x) + std::int64_t{args.tokens_of[i]} * args.width,
                                    bytes);
                      }
                    });
  });
}

void CpuBackend::combine_experts(Stream& stream, const CombineExpertsArgs& args) {
  check_combine(args);
  on(stream).enqueue([args](Scratch&) {
    parallel_chunks(args.tokens, rows_per_chunk(args.width * 12),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t t = begin; t < end; ++t) combine_token(args, t);
                    });
  });
}

void CpuBackend::combine_experts_backward(Stream& stream, const CombineExpertsBackwardArgs& args) {
  check_combine(args.forward);
  CHECK(args.forward.probabilities != nullptr && args.offsets != nullptr);
  on(stream).enqueue([args](Scratch&) {
    parallel_chunks(args.forward.tokens, rows_per_chunk(args.forward.width * 12),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t t = begin; t < end; ++t) combine_token_backward(args, t);
                    });
  });
}

}  // namespace mneme::kernels::cpu
