// Results of CUDA and cuBLAS calls: every one is looked at, in release builds too.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include "io/error.h"
#include "io/log.h"

namespace mneme::kernels::cuda {

// Throws Error when a call failed. A device that has faulted fails every later call as well.
inline void check_cuda(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return;
  cudaGetLastError();  // forgets an error that is not sticky, so that it is told once
  if (result == cudaErrorNoKernelImageForDevice) {
    io::fail(
        "this program has no code for the architecture of the CUDA device; configure with "
        "-DMNEME_CUDA_ARCHS=native and build again");
  }
  io::fail("CUDA: {} failed: {} ({}); compute-sanitizer finds where a kernel goes wrong", what,
           cudaGetErrorString(result), cudaGetErrorName(result));
}

inline void check_cublas(cublasStatus_t result, const char* what) {
  if (result == CUBLAS_STATUS_SUCCESS) return;
  io::fail("cuBLAS: {} failed: {}", what, cublasGetStatusString(result));
}

// For destructors, which cannot throw.
inline void warn_cuda(cudaError_t result, const char* what) {
  if (result != cudaSuccess) {
    io::warn("CUDA: {} failed: {}", what, cudaGetErrorString(result));
  }
}

}  // namespace mneme::kernels::cuda
