// The CUDA runtime, emulated: kernels compiled as C++20 run on the CPU, so that the CUDA backend
// can be tested on machines without a GPU.
//
// What it keeps of a GPU:
// - Device memory (cudaMalloc) may be touched only by kernels, copies, memsets and cuBLAS; the host
//   dies of SIGSEGV, as it does with a GPU. New device memory holds 0xFF bytes. A kernel that has
//   written behind an allocation is found by cudaFree.
// - Streams are asynchronous: what is queued runs when the host waits for it, one operation at a
//   time, in a pseudo-random order that streams and events allow. Work that nobody waits for is
//   often very late, or overtakes the rest, so that a missing event, or a result that is read too
//   early, shows.
// - Calls that CUDA lets wait do so: a copy from or to pageable memory, cudaFree.
// - A copy that leaves its allocation aborts.
// - A device that has failed (__trap(), an exception) says so from then on to whoever waits.
// - Threads of a block are fibers that switch only at barriers and warp collectives, in a
//   pseudo-random order (MNEME_EMULATOR_SEED gives another), so that a missing barrier shows.
//   Blocks run in parallel, in any order.
// - Launches are validated as by CUDA.
//
// What it leaves out:
// - Operations run one at a time: what two of them do to each other in the middle does not show.
// - Nothing runs while no host thread waits or queues: a host that polls pinned memory without
//   calling the runtime waits for ever.
// - A kernel that spins until another thread writes something never ends.
// - Kernels may read pageable host memory, which a GPU without address translation cannot.
// - Static __shared__ variables are 0, not undefined, until a block has written to them.
//
// AddressSanitizer follows kernel threads. ThreadSanitizer takes them for threads that only
// barriers and __syncwarp order, so it finds races in shared memory and between blocks; it is slow.
//
// Environment: MNEME_EMULATED_DEVICES=0 is a machine without a device; MNEME_EMULATED_MEMORY_MIB is
// the size of device memory (2048 without it, at most 16384); MNEME_EMULATED_REGISTERED_MIB is how
// much host memory can be registered (no limit without it); MNEME_EMULATOR_SEED is a number;
// MNEME_EMULATOR_STREAMS=at-once runs everything when it is queued, to debug.
#pragma once

#include <emulator/atomics.h>
#include <emulator/device_access.h>
#include <emulator/enqueue.h>
#include <emulator/intrinsics.h>
#include <emulator/language.h>
#include <emulator/launch.h>
#include <emulator/runtime_api.h>
#include <emulator/tensor_core.h>
#include <emulator/warp.h>
