// out = value * silu(gate), silu(g) = g * sigmoid(g).
#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector_math.h"

namespace mneme::kernels::cpu {
namespace {
constexpr std::int64_t kGateChunk = 8192;
}

void CpuBackend::gated_silu(Stream& stream, const GatedSiluArgs& args) {
  check_float32(args.type);
  check_float32(args.value_type);
  CHECK(args.count >= 0);
  on(stream).enqueue([args](Scratch&) {
    parallel_chunks(args.count, kGateChunk, [&](std::int64_t begin, std::int64_t end) {
      const float* gate = f32(args.gate);
      const float* value = f32(args.value);
      float* out = f32(args.out);
      vectorised([=]() MNEME_VECTORISE {
        for (std::int64_t i = begin; i < end; ++i) {
          out[i] = value[i] * gate[i] * fast_sigmoid(gate[i]);
        }
      });
    });
  });
}

void CpuBackend::gated_silu_backward(Stream& stream, const GatedSiluBackwardArgs& args) {
  check_float32(args.type);
  check_float32(args.value_type);
  CHECK(args.count >= 0);
  on(stream).enqueue([args](Scratch&) {
    parallel_chunks(args.count, kGateChunk, [&](std::int64_t begin, std::int64_t end) {
      const float* gates = f32(args.gate);
      const float* values = f32(args.value);
      const float* d_out = f32(args.d_out);
      float* d_gate = f32(args.d_gate);
      float* d_value = f32(args.d_value);
      vectorised([=]() MNEME_VECTORISE {
      // Every element is read before it is written, so d_gate and d_out may be one.
#pragma omp simd
        for (std::int64_t i = begin; i < end; ++i) {
          const float gate = gates[i], value = values[i], d = d_out[i];
          const float sigmoid = fast_sigmoid(gate);
          d_value[i] = d * gate * sigmoid;
          d_gate[i] = d * value * sigmoid * (1.0f + gate * (1.0f - sigmoid));
        }
      });
    });
  });
}

}  // namespace mneme::kernels::cpu
