// Elementwise additions.
#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/dispatch.h"
#include "kernels/cpu/parallel.h"

namespace mneme::kernels::cpu {

void CpuBackend::add_bias(Stream& stream, const AddBiasArgs& args) {
  check_float32(args.type);
  CHECK(args.rows >= 0 && args.width >= 0);
  float* x = f32(args.x);
  const float* bias = args.bias;
  const std::int64_t rows = args.rows, width = args.width;
  on(stream).enqueue([=](Scratch&) {
    parallel_chunks(rows, rows_per_chunk(width * 8), [=](std::int64_t begin, std::int64_t end) {
      vectorised([=]() MNEME_VECTORISE {
        for (std::int64_t r = begin; r < end; ++r) {
          float* row = x + r * width;
          for (std::int64_t c = 0; c < width; ++c) row[c] += bias[c];
        }
      });
    });
  });
}

void CpuBackend::add(Stream& stream, float* out, const float* x, std::int64_t count) {
  CHECK(count >= 0);
  on(stream).enqueue([=](Scratch&) {
    parallel_chunks(count, 8192, [=](std::int64_t begin, std::int64_t end) {
      vectorised([=]() MNEME_VECTORISE {
        for (std::int64_t i = begin; i < end; ++i) out[i] += x[i];
      });
    });
  });
}

}  // namespace mneme::kernels::cpu
