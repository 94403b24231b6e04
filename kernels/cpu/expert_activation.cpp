// Operations expert_activation and expert_activation_backward of the CPU backend.
#include <cmath>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/scalar.h"

namespace mneme::kernels::cpu {
namespace {
constexpr std::int64_t kChunk = 4096;
}

void CpuBackend::expert_activation(Stream& stream, const ExpertActivationArgs& args) {
  CHECK(args.count >= 0);
  on(stream).enqueue([args](Scratch&) {
    parallel_chunks(args.count, kChunk, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        args.factors[i] = args.weights[i] * gelu(args.dots[i]);
      }
    });
  });
}

void CpuBackend::expert_activation_backward(Stream& stream,
                                            const ExpertActivationBackwardArgs& args) {
  CHECK(args.count >= 0);
  on(stream).enqueue([args](Scratch&) {
    parallel_chunks(args.count, kChunk, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const float dot = args.dots[i], d_factor = args.d_factors[i];
        args.d_dots[i] = d_factor * args.weights[i] * gelu_slope(dot);
        args.d_weights[i] = d_factor * gelu(dot);
      }
    });
  });
}

}  // namespace mneme::kernels::cpu
