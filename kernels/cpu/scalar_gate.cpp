// out[t] = sigmoid(<x[t], weight> + bias) * value[t].
#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_sums.h"
#include "kernels/cpu/vector_math.h"

namespace mneme::kernels::cpu {
namespace {

void gate_token(const ScalarGateArgs& args, std::int64_t token) {
  const float* x = f32(args.x) + token * args.width;
  const float* weight = args.weight;
  const float* value = args.value + token * args.value_width;
  float* out = args.out + token * args.value_width;
  const float bias = *args.bias;
  const std::int64_t width = args.width, value_width = args.value_width;
  args.rho[token] = vectorised([=]() MNEME_VECTORISE {
    const float rho = fast_sigmoid(
        bias + lane_sum(width, [=](std::int64_t i) MNEME_VECTORISE { return x[i] * weight[i]; }));
    for (std::int64_t i = 0; i < value_width; ++i) out[i] = rho * value[i];
    return rho;
  });
}

// d_a = rho (1 - rho) <d_out, value>; d_x += d_a weight; d_value = rho d_out. Adds d_a x to
// d_weight and returns d_a, which is the token's share of d_bias.
float gate_token_backward(const ScalarGateBackwardArgs& args, std::int64_t token, float* d_weight) {
  const std::int64_t width = args.forward.width, value_width = args.forward.value_width;
  const float* x = f32(args.forward.x) + token * width;
  const float* weight = args.forward.weight;
  const float* value = args.forward.value + token * value_width;
  const float* d_out = args.d_out + token * value_width;
  float* d_value = args.d_value + token * value_width;
  float* d_x = args.d_x + token * width;
  const float rho = args.forward.rho[token];
  return vectorised([=]() MNEME_VECTORISE {
    const float dot =
        lane_sum(value_width, [=](std::int64_t i) MNEME_VECTORISE { return d_out[i] * value[i]; });
    const float d_a = rho * (1.0f - rho) * dot;
    for (std::int64_t i = 0; i < value_width; ++i) d_value[i] = rho * d_out[i];
    for (std::int64_t i = 0; i < width; ++i) d_x[i] += d_a * weight[i];
    for (std::int64_t i = 0; i < width; ++i) d_weight[i] += d_a * x[i];
    return d_a;
  });
}

}  // namespace

void CpuBackend::scalar_gate(Stream& stream, const ScalarGateArgs& args) {
  check_float32(args.x_type);
  CHECK(args.tokens >= 0 && args.width > 0 && args.value_width > 0);
  on(stream).enqueue([args](Scratch&) {
    parallel_chunks(args.tokens, rows_per_chunk((args.width + 2 * args.value_width) * 4),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t t = begin; t < end; ++t) gate_token(args, t);
                    });
  });
}

void CpuBackend::scalar_gate_backward(Stream& stream, const ScalarGateBackwardArgs& args) {
  check_float32(args.forward.x_type);
  CHECK(args.forward.tokens >= 0 && args.forward.width > 0 && args.forward.value_width > 0);
  on(stream).enqueue([args](Scratch& scratch) {
    const std::int64_t tokens = args.forward.tokens, width = args.forward.width;
    // Column `width` of the partial sums is the bias.
    const float* partial = partial_row_sums(scratch, tokens, width + 1,
                                            [&](std::int64_t begin, std::int64_t end, float* sums) {
                                              for (std::int64_t t = begin; t < end; ++t) {
                                                sums[width] += gate_token_backward(args, t, sums);
                                              }
                                            });
    float* total = scratch.take<float>(width + 1);
    std::copy(args.d_weight, args.d_weight + width, total);
    total[width] = *args.d_bias;
    add_partial_sums(partial, chunk_count(tokens, summed_rows_per_chunk(tokens)), total, width + 1);
    std::copy(total, total + width, args.d_weight);
    *args.d_bias = total[width];
  });
}

}  // namespace mneme::kernels::cpu
