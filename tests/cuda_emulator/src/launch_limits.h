// The emulated device, in numbers: an H100 with few multiprocessors.
#pragma once

#include <cstddef>

namespace emulator {

inline constexpr int kMultiprocessors = 4;
inline constexpr unsigned kMaxBlockThreads = 1024;
inline constexpr unsigned kMaxBlockDim[3] = {1024, 1024, 64};
inline constexpr unsigned kMaxGridDim[3] = {2147483647, 65535, 65535};
inline constexpr int kThreadsPerMultiprocessor = 2048;
inline constexpr int kBlocksPerMultiprocessor = 32;
inline constexpr int kRegisters = 65536;
// What a block may have, static and dynamic, unless cudaFuncSetAttribute allows it more.
inline constexpr std::size_t kSharedBytes = std::size_t{48} << 10;
inline constexpr std::size_t kReservedSharedBytes = 1024;
inline constexpr std::size_t kSharedBytesPerMultiprocessor = std::size_t{228} << 10;

// What a block may have with cudaFuncSetAttribute: 227 KiB as on an H100, or what
// MNEME_EMULATED_SHARED_KIB says, if that is less.
std::size_t max_shared_bytes();

// What the kernel may have besides its static variables.
std::size_t allowed_dynamic_bytes(const void* function);

}  // namespace emulator
