// The words that CUDA adds to C++, and where a kernel's thread stands in its grid.
#pragma once

// libstdc++ spells an attribute __noinline__, the word that CUDA makes a macro of: its headers that
// do come first.
#include <memory>

#include <emulator/vector_types.h>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __forceinline__ __inline__ __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
// A block stays on one operating-system thread, which runs one block at a time. A variable is 0
// until a block writes to it; the next block finds 0xFF in the bytes that were changed. (So a
// kernel must not change a thread_local variable of the host.) alignas() has to come before this
// word;
// __align__() may stand anywhere.
#define __shared__ static thread_local

// Of the kernel thread that runs. Zeros outside of kernels.
extern constinit thread_local uint3 threadIdx;
extern constinit thread_local uint3 blockIdx;
extern constinit thread_local dim3 blockDim;
extern constinit thread_local dim3 gridDim;
inline constexpr int warpSize = 32;

namespace emulator {

// The running block's dynamic shared memory: exactly as long as the launch asked for, aligned to
// 1,024 bytes, 0xFF in every byte when the block starts. A write behind it crashes at once, or
// aborts when the block ends if it is within the 1,024 bytes that hold the end.
void* dynamic_shared();

}  // namespace emulator
