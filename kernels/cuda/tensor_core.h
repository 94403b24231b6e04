// Tensor-core products, the loads that feed them and asynchronous copies to shared memory, one
// wrapper an instruction (sm_80 and later). Built for the emulator of tests/cuda_emulator they do
// the same on the CPU. All lanes of a warp call the products and matrix loads together.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#if defined(MNEME_CUDA_EMULATED)
#include <cmath>
#endif

namespace mneme::kernels::cuda {

// sums += left * right for bf16 matrices left [16, 16] and right [16, 8] with float32 sums [16, 8].
// With g = lane / 4 and t = lane % 4 a lane holds
//   sums:  (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1)
//   left:  rows g, g + 8, g, g + 8 at columns 2t, 2t + 1, the last two 8 columns further on
//   right: rows 2t, 2t + 1 of column g, the second 8 rows further down
__device__ __forceinline__ void multiply_add(float (&sums)[4], const std::uint32_t (&left)[4],
                                             std::uint32_t right0, std::uint32_t right1) {
#if defined(MNEME_CUDA_EMULATED)
  emulator::mma_m16n8k16_bf16(sums, left, {right0, right1});
#else
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right0), "r"(right1));
#endif
}

#if !defined(MNEME_CUDA_EMULATED)
__device__ __forceinline__ std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}
#endif

// 1, 2 or 4 matrices of 8 x 8 bf16 from shared memory: lane 8 * i + r brings the address of row r
// of matrix i (16 bytes, aligned to 16) and gets columns 2t, 2t + 1 of row g of each matrix.
__device__ __forceinline__ void load_matrices(std::uint32_t (&m)[1], const void* row) {
#if defined(MNEME_CUDA_EMULATED)
  emulator::ldmatrix(m, 1, row, false);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];"
               : "=r"(m[0])
               : "r"(shared_address(row)));
#endif
}
__device__ __forceinline__ void load_matrices(std::uint32_t (&m)[2], const void* row) {
#if defined(MNEME_CUDA_EMULATED)
  emulator::ldmatrix(m, 2, row, false);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(m[0]), "=r"(m[1])
               : "r"(shared_address(row)));
#endif
}
__device__ __forceinline__ void load_matrices(std::uint32_t (&m)[4], const void* row) {
#if defined(MNEME_CUDA_EMULATED)
  emulator::ldmatrix(m, 4, row, false);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(shared_address(row)));
#endif
}

// The same, transposed on the way: a lane gets rows 2t, 2t + 1 of column g.
__device__ __forceinline__ void load_transposed(std::uint32_t (&m)[1], const void* row) {
#if defined(MNEME_CUDA_EMULATED)
  emulator::ldmatrix(m, 1, row, true);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
               : "=r"(m[0])
               : "r"(shared_address(row)));
#endif
}
__device__ __forceinline__ void load_transposed(std::uint32_t (&m)[2], const void* row) {
#if defined(MNEME_CUDA_EMULATED)
  emulator::ldmatrix(m, 2, row, true);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(m[0]), "=r"(m[1])
               : "r"(shared_address(row)));
#endif
}
__device__ __forceinline__ void load_transposed(std::uint32_t (&m)[4], const void* row) {
#if defined(MNEME_CUDA_EMULATED)
  emulator::ldmatrix(m, 4, row, true);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(shared_address(row)));
#endif
}

// Starts the copy of 16 bytes from global to shared memory, both aligned to 16; when not `present`
// it writes zeros and reads nothing. What other threads copied may be read after a
// wait_for_copies() of theirs and a barrier.
__device__ __forceinline__ void copy_16_async(void* shared, const void* global, bool present) {
#if defined(MNEME_CUDA_EMULATED)
  // As vectors, so that a sanitizer looks at their alignment.
  *static_cast<uint4*>(shared) =
      present ? *static_cast<const uint4*>(global) : make_uint4(0, 0, 0, 0);
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
               "l"(__cvta_generic_to_global(global)), "r"(present ? 16 : 0)
               : "memory");
#endif
}
// Closes a group: the thread's copies since the last one.
__device__ __forceinline__ void end_copy_group() {
#if !defined(MNEME_CUDA_EMULATED)
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
// Waits until at most the kLatest last groups of this thread are still on their way.
template <int kLatest>
__device__ __forceinline__ void wait_for_copies() {
#if !defined(MNEME_CUDA_EMULATED)
  asm volatile("cp.async.wait_group %0;" ::"n"(kLatest) : "memory");
#endif
}

// 2^x to about 2^-22 relative, one instruction; results below 2^-126 are 0.
__device__ __forceinline__ float exp2_approximate(float x) {
#if defined(MNEME_CUDA_EMULATED)
  return std::exp2(x);
#else
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

}  // namespace mneme::kernels::cuda
