// Dense AdamW over one parameter range.
#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/dispatch.h"
#include "kernels/cpu/parallel.h"
#include "kernels/scalar.h"

namespace mneme::kernels::cpu {
namespace {
constexpr std::int64_t kUpdateChunk = 16384;
}

void CpuBackend::adamw(Stream& stream, const AdamWArgs& args) {
  CHECK(args.count >= 0);
  CHECK(args.step >= 1, "steps count from 1");
  on(stream).enqueue([args](Scratch&) {
    const AdamWScalars scalars = adamw_scalars({.step = args.step,
                                                .learning_rate = args.learning_rate,
                                                .beta1 = args.beta1,
                                                .beta2 = args.beta2,
                                                .epsilon = args.epsilon,
                                                .weight_decay = args.weight_decay});
    const float grad_scale = args.grad_scale == nullptr ? 1.0f : *args.grad_scale;
    parallel_chunks(args.count, kUpdateChunk, [&](std::int64_t begin, std::int64_t end) {
      float* values = args.parameters;
      const float* gradients = args.gradients;
      float* moment1 = args.moment1;
      float* moment2 = args.moment2;
      vectorised([=]() MNEME_VECTORISE {
#pragma omp simd
        for (std::int64_t i = begin; i < end; ++i) {
          const float gradient = grad_scale == 0.0f ? 0.0f : gradients[i] * grad_scale;
          adamw_element(scalars, gradient, values[i], moment1[i], moment2[i]);
        }
      });
    });
  });
}

}  // namespace mneme::kernels::cpu
