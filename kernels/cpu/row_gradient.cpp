// Operation row_gradient_norms of the CPU backend.
#include "kernels/cpu/row_gradient.h"

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"

namespace mneme::kernels::cpu {

void CpuBackend::row_gradient_norms(Stream& stream, const RowGradient& gradient, std::int64_t first,
                                    std::int64_t count, float* square_norms) {
  check_gradient(gradient);
  CHECK(first >= 0 && count >= 0);
  on(stream).enqueue([=](Scratch& scratch) {
    float* buffers = scratch.take<float>(thread_slots() * gradient.width);
    with_register_blocks([=](auto wide) {
      parallel_chunks(count, rows_per_chunk(gradient.width * 4),
                      [=](std::int64_t begin, std::int64_t end) {
                        float* buffer = buffers + thread_slot() * gradient.width;
                        for (std::int64_t i = begin; i < end; ++i) {
                          const GradientRow row =
                              gradient_row<decltype(wide)::value>(gradient, first + i, buffer);
                          square_norms[i] = square_norm(row, gradient.width);
                        }
                      });
    });
  });
}

}  // namespace mneme::kernels::cpu
