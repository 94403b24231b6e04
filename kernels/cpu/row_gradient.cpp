// Operation row_gradient_norms of the CPU backend.
#include "kernels/cpu/row_gradient.h"

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/row_checks.h"

namespace mneme::kernels::cpu {
namespace {

// out[g * count + i] for the groups of one part.
template <typename Vector>
void part_norms(const RowGradient& gradient, const GradientPart& part, std::int64_t first,
                std::int64_t count, float* out, Scratch& scratch) {
  const std::int64_t width = part.columns.count;
  const auto groups = static_cast<int>(part.columns.groups());
  float* buffers = scratch.take<float>(thread_slots() * width);
  with_register_blocks([&](auto wide) {
    parallel_chunks(count, rows_per_chunk(width * 4), [&](std::int64_t begin, std::int64_t end) {
      float* buffer = buffers + thread_slot() * width;
      for (std::int64_t i = begin; i < end; ++i) {
        const GradientRow row =
            gradient_row<decltype(wide)::value, Vector>(gradient.grouped, part, first + i, buffer);
        float sums[kMostGroups];
        square_norms_of(row, part.columns, sums);
        for (int g = 0; g < groups; ++g) out[g * count + i] = sums[g];
      }
    });
  });
}

}  // namespace

void CpuBackend::row_gradient_norms(Stream& stream, const RowGradient& gradient, std::int64_t first,
                                    std::int64_t count, float* square_norms) {
  check_gradient(gradient);
  CHECK(first >= 0 && count >= 0);
  on(stream).enqueue([=](Scratch& scratch) {
    float* out = square_norms;
    for (int i = 0; i < gradient.part_count; ++i) {
      const GradientPart& part = gradient.parts[i];
      with_float_type(part.type, [&](auto type) {
        part_norms<decltype(type)>(gradient, part, first, count, out, scratch);
      });
      out += std::int64_t{part.columns.groups()} * count;
    }
  });
}

}  // namespace mneme::kernels::cpu
