#include "kernels/cpu/dispatch.h"

#include <cstdlib>

namespace mneme::kernels::cpu {

bool has_avx512() {
#if MNEME_HAS_AVX512_VERSION
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512cd");
#else
  return false;
#endif
}

bool use_avx512() {
  static const bool chosen = has_avx512() && std::getenv("MNEME_NO_AVX512") == nullptr;
  return chosen;
}

}  // namespace mneme::kernels::cpu
