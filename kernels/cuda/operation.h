// How an operation of the CUDA backend queues its work:
//
//   void CudaBackend::add(Stream& stream, float* out, const float* x, std::int64_t count) {
//     CHECK(count >= 0);
//     Operation operation(stream, "add");
//     operation.launch({blocks_for(count, 256), 256}, add_kernel, out, x, count);
//   }
//
// Kernels are launched here only, and through cudaLaunchKernelEx: the emulator that tests kernels
// on a machine without a GPU (tests/cuda_emulator) takes the place of that function.
#pragma once

#include <cuda_runtime.h>
#include <nvtx3/nvToolsExt.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "io/check.h"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/cuda_stream.h"
#include "kernels/cuda/scratch_guards.h"

namespace mneme::kernels::cuda {

struct Grid {
  std::int64_t blocks = 0;  // 0: nothing to do
  int threads = 0;          // of a block
  std::size_t shared_bytes = 0;
  std::int64_t blocks_y = 1;  // at most 65535
};

// ceil(count / per_block).
constexpr std::int64_t blocks_for(std::int64_t count, std::int64_t per_block) {
  return (count + per_block - 1) / per_block;
}

class Operation {
 public:
  // name: as it shows in a profiler; a string literal. Takes back the scratch memory of the
  // stream's last operation.
  Operation(Stream& stream, const char* name);
  ~Operation();
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  // Device memory for `count` elements, 256-byte aligned, contents undefined, for the kernels of
  // this operation.
  template <typename T>
  T* take(std::int64_t count) {
    return static_cast<T*>(take_bytes(static_cast<std::size_t>(count) * sizeof(T)));
  }

  // Arguments are converted to the kernel's parameter types.
  template <typename... Parameters, typename... Arguments>
  void launch(const Grid& grid, void (*kernel)(Parameters...), Arguments&&... arguments) {
    if (grid.blocks == 0 || grid.blocks_y == 0) return;
    CHECK(grid.blocks <= 0x7fffffff && grid.blocks_y <= 65535, "{} x {} blocks in {}", grid.blocks,
          grid.blocks_y, name_);
    if (grid.shared_bytes > 0) {
      allow_shared_bytes(reinterpret_cast<const void*>(kernel), grid.shared_bytes);
    }
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(static_cast<unsigned>(grid.blocks), static_cast<unsigned>(grid.blocks_y));
    config.blockDim = dim3(static_cast<unsigned>(grid.threads));
    config.dynamicSmemBytes = grid.shared_bytes;
    config.stream = stream_.handle();
    check_cuda(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), name_);
  }
  void zero(void* target, std::size_t bytes) {
    check_cuda(cudaMemsetAsync(target, 0, bytes, stream_.handle()), name_);
  }
  // Between any kinds of memory.
  void copy(void* target, const void* source, std::size_t bytes) {
    check_cuda(cudaMemcpyAsync(target, source, bytes, cudaMemcpyDefault, stream_.handle()), name_);
  }

  // What a block may have on the device, static variables included.
  std::size_t most_shared_bytes() const;

  DeviceReport* report() { return stream_.report(); }
  CudaStream& stream() { return stream_; }
  const char* name() const { return name_; }

 private:
  void* take_bytes(std::size_t bytes);
  // Unasked, a kernel may have 48 KiB, its static variables included.
  void allow_shared_bytes(const void* kernel, std::size_t bytes);

  CudaStream& stream_;
  const char* name_;
  std::vector<ScratchPiece> guarded_;  // what take() gave, in the debug mode with guard zones
};

}  // namespace mneme::kernels::cuda
