// Row-wise RMS and L2 normalisation.
#include <algorithm>
#include <cmath>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_sums.h"
#include "kernels/cpu/vector_math.h"

namespace mneme::kernels::cpu {
namespace {

// What the sum of squares is divided by: the mean for RMS, the sum for L2.
float divisor(NormKind kind, std::int64_t width) {
  return kind == NormKind::kRms ? static_cast<float>(width) : 1.0f;
}

void norm_row(const NormArgs& args, std::int64_t row) {
  const std::int64_t width = args.width;
  const float* x = args.x + row * width;
  const float* gain = args.gain + row % args.gain_rows * width;
  float* out = f32(args.out) + row * width;
  const float squares = vectorised([=]() MNEME_VECTORISE {
    return lane_sum(width, [=](std::int64_t i) MNEME_VECTORISE { return x[i] * x[i]; });
  });
  const float inverse = 1.0f / std::sqrt(squares / divisor(args.kind, width) + args.epsilon);
  if (args.inverse != nullptr) args.inverse[row] = inverse;
  if (args.copy != nullptr) std::copy_n(x, width, args.copy + row * width);
  vectorised([=]() MNEME_VECTORISE {
    for (std::int64_t i = 0; i < width; ++i) out[i] = x[i] * inverse * gain[i];
  });
}

// With h = d_out * gain: d_x = inverse * (h - x * inverse^2 * <h, x> / divisor).
void norm_row_backward(const NormBackwardArgs& args, std::int64_t row, float* d_gains) {
  const std::int64_t width = args.width;
  const float* x = args.x + row * width;
  const float* gain = args.gain + row % args.gain_rows * width;
  const float* d_out = args.d_out + row * width;
  float* d_x = args.d_x + row * width;
  float* d_gain = d_gains + row % args.gain_rows * width;
  const float inverse = args.inverse[row];
  const float dot = vectorised([=]() MNEME_VECTORISE {
    return lane_sum(width,
                    [=](std::int64_t i) MNEME_VECTORISE { return d_out[i] * gain[i] * x[i]; });
  });
  const float pull = inverse * inverse * inverse * dot / divisor(args.kind, width);
  const bool accumulate = args.accumulate;
  vectorised([=]() MNEME_VECTORISE {
    // d_x is read only to accumulate: it may hold anything, NaN too.
    if (accumulate) {
      for (std::int64_t i = 0; i < width; ++i) {
        d_x[i] += inverse * d_out[i] * gain[i] - pull * x[i];
      }
    } else {
      for (std::int64_t i = 0; i < width; ++i) {
        d_x[i] = inverse * d_out[i] * gain[i] - pull * x[i];
      }
    }
    for (std::int64_t i = 0; i < width; ++i) d_gain[i] += d_out[i] * x[i] * inverse;
  });
}

}  // namespace

void CpuBackend::norm(Stream& stream, const NormArgs& args) {
  check_float32(args.out_type);
  CHECK(args.rows >= 0 && args.width > 0 && args.gain_rows > 0);
  on(stream).enqueue([args](Scratch&) {
    parallel_chunks(args.rows, rows_per_chunk(args.width * 8),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t row = begin; row < end; ++row) norm_row(args, row);
                    });
  });
}

void CpuBackend::norm_backward(Stream& stream, const NormBackwardArgs& args) {
  CHECK(args.rows >= 0 && args.width > 0 && args.gain_rows > 0);
  on(stream).enqueue([args](Scratch& scratch) {
    const std::int64_t gains = args.gain_rows * args.width;
    const float* partial = partial_row_sums(
        scratch, args.rows, gains, [&](std::int64_t begin, std::int64_t end, float* d_gains) {
          for (std::int64_t row = begin; row < end; ++row) norm_row_backward(args, row, d_gains);
        });
    add_partial_sums(partial, chunk_count(args.rows, summed_rows_per_chunk(args.rows)), args.d_gain,
                     gains);
  });
}

}  // namespace mneme::kernels::cpu
