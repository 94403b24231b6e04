#include "kernels/cpu/dispatch.h"

#include <cstdlib>

namespace mneme::kernels::cpu {
namespace {

bool find_avx512() {
#if MNEME_HAS_AVX512_VERSION
  return std::getenv("MNEME_NO_AVX512") == nullptr && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
#else
  return false;
#endif
}

}  // namespace

bool use_avx512() {
  static const bool chosen = find_avx512();
  return chosen;
}

}  // namespace mneme::kernels::cpu
