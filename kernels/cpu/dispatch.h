// Run-time choice of the instruction set, without a second compilation and without ifunc (which
// ThreadSanitizer cannot start).
//
// Write the loop once, as a lambda marked MNEME_VECTORISE that captures pointers and sizes by
// value, and hand it to vectorised():
//
//   vectorised([=]() MNEME_VECTORISE {
//     for (std::int64_t i = 0; i < count; ++i) out[i] += x[i];
//   });
//
// The lambda is inlined into two callers, one for the baseline (x86-64-v3: AVX2, FMA) and one for
// AVX-512 with 512-bit vectors, and the compiler vectorises it for each. Helpers that the loop
// calls must be MNEME_INLINE (vector_math.h) so that they are inlined and vectorised too; anything
// else that it calls stays baseline code, which is slower but right. One vectorised() call costs a
// few nanoseconds: put whole rows or tiles inside it, not elements. It may return a value.
// Reduction loops are not vectorised by the compiler, which may not reorder float sums: use
// lane_sum() and friends of vector_math.h.
#pragma once

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#define MNEME_HAS_AVX512_VERSION 1
#else
#define MNEME_HAS_AVX512_VERSION 0
#endif

#define MNEME_VECTORISE __attribute__((always_inline))
#define MNEME_INLINE inline __attribute__((always_inline))

namespace mneme::kernels::cpu {

// Whether the processor has AVX-512 (x86-64-v4) and the build has code for it. It is asked for its
// features only, never for its maker or model, which code that is older than it cannot know.
bool has_avx512();

// True when has_avx512() and MNEME_NO_AVX512 is not set in the environment.
// Fixed for the life of the process, since float results differ between instruction sets.
bool use_avx512();

namespace internal {
template <typename Kernel>
__attribute__((noinline)) auto run_baseline(Kernel kernel) {
  return kernel();
}

#if MNEME_HAS_AVX512_VERSION
template <typename Kernel>
__attribute__((noinline, target("arch=x86-64-v4,prefer-vector-width=512"))) auto run_avx512(
    Kernel kernel) {
  return kernel();
}
#endif
}  // namespace internal

template <typename Kernel>
auto vectorised(Kernel kernel) {
#if MNEME_HAS_AVX512_VERSION
  if (use_avx512()) return internal::run_avx512(kernel);
#endif
  return internal::run_baseline(kernel);
}

}  // namespace mneme::kernels::cpu
