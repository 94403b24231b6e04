// Conversion between the two floating-point types.
#include <cstring>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_math.h"

namespace mneme::kernels::cpu {
namespace {

constexpr std::int64_t kConvertChunk = 16384;

MNEME_INLINE void store_scalar(float* p, float x) {
  *p = x;
}
MNEME_INLINE void store_scalar(Bf16* p, float x) {
  p->bits = float_to_bf16(x);
}

}  // namespace

void CpuBackend::convert(Stream& stream, const ConvertArgs& args) {
  CHECK(args.count >= 0);
  on(stream).enqueue([args](Scratch&) {
    with_float_type(args.source_type, [&](auto source_type) {
      with_float_type(args.target_type, [&](auto target_type) {
        const auto* source = static_cast<const decltype(source_type)*>(args.source);
        auto* target = static_cast<decltype(target_type)*>(args.target);
        parallel_chunks(args.count, kConvertChunk, [=](std::int64_t begin, std::int64_t end) {
          vectorised([=]() MNEME_VECTORISE {
            for (std::int64_t i = begin; i < end; ++i) {
              store_scalar(target + i, load_scalar(source + i));
            }
          });
        });
      });
    });
  });
}

}  // namespace mneme::kernels::cpu
