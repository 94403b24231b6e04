// Softmax cross-entropy, its gradient in the place of the logits.
#include <cmath>

#include "io/check.h"
#include "io/error.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector_math.h"

namespace mneme::kernels::cpu {
namespace {

struct RowSum {
  float largest, sum;  // sum of exp(logit - largest)
};

RowSum softmax_sum(const float* logits, std::int64_t vocabulary) {
  return vectorised([=]() MNEME_VECTORISE {
    const float largest =
        lane_max(vocabulary, [=](std::int64_t i) MNEME_VECTORISE { return logits[i]; });
    const float sum = lane_sum(
        vocabulary, [=](std::int64_t i) MNEME_VECTORISE { return fast_exp(logits[i] - largest); });
    return RowSum{largest, sum};
  });
}

// The same, and the logits become d_scale * softmax.
RowSum softmax_in_place(float* logits, std::int64_t vocabulary, float d_scale) {
  return vectorised([=]() MNEME_VECTORISE {
    const float largest =
        lane_max(vocabulary, [=](std::int64_t i) MNEME_VECTORISE { return logits[i]; });
    const float sum = lane_sum(vocabulary, [=](std::int64_t i) MNEME_VECTORISE {
      return logits[i] = fast_exp(logits[i] - largest);
    });
    const float factor = d_scale / sum;
    for (std::int64_t i = 0; i < vocabulary; ++i) logits[i] *= factor;
    return RowSum{largest, sum};
  });
}

void cross_entropy_row(const CrossEntropyArgs& args, std::int64_t row) {
  const std::int64_t target = args.targets[row];
  if (target < 0 || target >= args.vocabulary) {
    io::fail(
        "target {} of row {} is outside the vocabulary of {}; use the tokenizer that the "
        "model was configured for",
        target, row, args.vocabulary);
  }
  float* logits = args.logits + row * args.vocabulary;
  const float target_logit = logits[target];
  const RowSum sum = args.d_scale == 0.0f ? softmax_sum(logits, args.vocabulary)
                                          : softmax_in_place(logits, args.vocabulary, args.d_scale);
  args.losses[row] = std::log(sum.sum) + (sum.largest - target_logit);
  if (args.d_scale != 0.0f) logits[target] -= args.d_scale;
}

}  // namespace

void CpuBackend::cross_entropy(Stream& stream, const CrossEntropyArgs& args) {
  check_float32(args.gradient_type);
  CHECK(args.rows >= 0 && args.vocabulary > 0);
  on(stream).enqueue([args](Scratch&) {
    parallel_chunks(args.rows, rows_per_chunk(args.vocabulary * 4),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t r = begin; r < end; ++r) cross_entropy_row(args, r);
                    });
  });
}

}  // namespace mneme::kernels::cpu
