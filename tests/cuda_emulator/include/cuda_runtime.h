// The CUDA runtime, emulated: kernels compiled as C++20 run on the CPU, so that the CUDA backend
// can be tested on machines without a GPU.
//
// What it keeps of a GPU:
// - Device memory (cudaMalloc) may be touched only by kernels, copies, memsets and cuBLAS; the host
//   dies of SIGSEGV, as it does with a GPU. New device memory holds 0xFF bytes. A kernel that has
//   written behind an allocation is found by cudaFree.
// - cudaMemcpyAsync takes pinned host memory only; pageable memory aborts, as does a copy that
//   leaves its allocation.
// - Threads of a block are fibers that switch only at barriers and warp collectives, in a
//   pseudo-random order (MNEME_EMULATOR_SEED gives another), so that a missing barrier shows.
//   Blocks run in parallel, in any order.
// - Launches are validated as by CUDA.
// - An event is not ready when it is first asked, unless something was waited for since its record.
//
// What it leaves out:
// - Every call returns when its work is done: a missing stream or event wait does not show.
// - A kernel that spins until another thread writes something never ends.
// - Kernels may read pageable host memory, which a GPU without address translation cannot.
// - Static __shared__ variables are 0, not undefined, until a block has written to them.
//
// AddressSanitizer follows kernel threads. ThreadSanitizer takes them for threads that only
// barriers and __syncwarp order, so it finds races in shared memory and between blocks; it is slow.
//
// Environment: MNEME_EMULATED_DEVICES=0 is a machine without a device; MNEME_EMULATED_MEMORY_MIB is
// the size of device memory (2048 without it, at most 16384); MNEME_EMULATED_REGISTERED_MIB is how
// much host memory can be registered (no limit without it); MNEME_EMULATOR_SEED is a number.
#pragma once

#include <emulator/atomics.h>
#include <emulator/device_access.h>
#include <emulator/intrinsics.h>
#include <emulator/language.h>
#include <emulator/launch.h>
#include <emulator/runtime_api.h>
#include <emulator/tensor_core.h>
#include <emulator/warp.h>
