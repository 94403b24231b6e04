// Operation accumulate_gradient of the CPU backend.
#include <algorithm>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_gradient.h"
#include "kernels/row_checks.h"

namespace mneme::kernels::cpu {
namespace {

// How many rows ahead what is added to is asked for.
constexpr std::int64_t kSumsAhead = 2;

template <int kWide, typename Vector>
void accumulate_part(const ArenaPart& part, const GradientPart& gradient,
                     const AccumulateArgs& args) {
  const std::int64_t width = part.width();
  const auto row_bytes = width * static_cast<std::int64_t>(sizeof(float));
  parallel_chunks(args.count, rows_per_chunk(row_bytes), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      if (i + kSumsAhead < end) {
        prefetch_bytes(row_of<float>(part.arrays.gradient, args.slots[i + kSumsAhead], width),
                       row_bytes);
      }
      float* sums = row_of<float>(part.arrays.gradient, args.slots[i], width);
      if (args.is_first[i] != 0) std::fill(sums, sums + width, 0.0f);
      add_gradient_row<kWide, Vector>(args.gradient.grouped, gradient, args.first + i, sums);
    }
  });
}

}  // namespace

void CpuBackend::accumulate_gradient(Stream& stream, const RowArena& arena,
                                     const AccumulateArgs& args) {
  check_accumulate(arena, args);
  on(stream).enqueue([=](Scratch&) {
    for (int i = 0; i < arena.layout.part_count; ++i) {
      const ArenaPart part(arena, i);
      const GradientPart& gradient = args.gradient.parts[i];
      with_float_type(gradient.type, [&](auto type) {
        with_register_blocks([&](auto wide) {
          accumulate_part<decltype(wide)::value, decltype(type)>(part, gradient, args);
        });
      });
    }
  });
}

}  // namespace mneme::kernels::cpu
