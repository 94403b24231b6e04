// Conversion between the two floating-point types.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/operation.h"
#include "kernels/cuda/vector_access.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kGroups = 4;  // of a thread: loads in flight

template <int N, typename Source, typename Target>
__global__ void __launch_bounds__(kThreads)
    convert_kernel(const Source* source, Target* target, std::int64_t count, bool vector) {
  const std::int64_t first =
      (std::int64_t{blockIdx.x} * (kThreads * kGroups) + threadIdx.x) * std::int64_t{N};
  constexpr std::int64_t kStep = kThreads * N;
  float x[kGroups][N];
  load_groups(source + first, kStep, count - first, vector, x);
  store_groups(target + first, kStep, count - first, vector, x);
}

}  // namespace

void CudaBackend::convert(Stream& stream, const ConvertArgs& args) {
  CHECK(args.count >= 0);
  Operation operation(stream, "convert");
  with_float_type(args.source_type, [&](auto source_type) {
    with_float_type(args.target_type, [&](auto target_type) {
      using Source = decltype(source_type);
      using Target = decltype(target_type);
      constexpr int kN = std::min(kGroup<Source>, kGroup<Target>);
      const auto* source = static_cast<const Source*>(args.source);
      auto* target = static_cast<Target*>(args.target);
      operation.launch({blocks_for(args.count, kThreads * kGroups * kN), kThreads},
                       convert_kernel<kN, Source, Target>, source, target, args.count,
                       vector_aligned<kN>(source) && vector_aligned<kN>(target));
    });
  });
}

}  // namespace mneme::kernels::cuda
