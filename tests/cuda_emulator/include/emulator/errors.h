// The error codes of the CUDA runtime that the project can meet, with their numbers.
#pragma once

// X(name, number, text)
#define MNEME_CUDA_ERRORS(X)                                                                 \
  X(cudaSuccess, 0, "no error")                                                              \
  X(cudaErrorInvalidValue, 1, "invalid argument")                                            \
  X(cudaErrorMemoryAllocation, 2, "out of memory")                                           \
  X(cudaErrorInitializationError, 3, "initialization error")                                 \
  X(cudaErrorInvalidConfiguration, 9, "invalid configuration argument")                      \
  X(cudaErrorInvalidPitchValue, 12, "invalid pitch argument")                                \
  X(cudaErrorInvalidSymbol, 13, "invalid device symbol")                                     \
  X(cudaErrorInvalidDevicePointer, 17, "invalid device pointer")                             \
  X(cudaErrorInvalidMemcpyDirection, 21, "invalid copy direction for memcpy")                \
  X(cudaErrorInsufficientDriver, 35, "CUDA driver version is insufficient for CUDA runtime") \
  X(cudaErrorNoKernelImageForDevice, 209,                                                    \
    "no kernel image is available for execution on the device")                              \
  X(cudaErrorInvalidDeviceFunction, 98, "invalid device function")                           \
  X(cudaErrorNoDevice, 100, "no CUDA-capable device is detected")                            \
  X(cudaErrorInvalidDevice, 101, "invalid device ordinal")                                   \
  X(cudaErrorInvalidResourceHandle, 400, "invalid resource handle")                          \
  X(cudaErrorIllegalState, 401, "the operation cannot be performed in the present state")    \
  X(cudaErrorNotReady, 600, "device not ready")                                              \
  X(cudaErrorIllegalAddress, 700, "an illegal memory access was encountered")                \
  X(cudaErrorLaunchOutOfResources, 701, "too many resources requested for launch")           \
  X(cudaErrorHostMemoryAlreadyRegistered, 712, "memory range is already registered")         \
  X(cudaErrorHostMemoryNotRegistered, 713, "pointer is not in a registered memory region")   \
  X(cudaErrorLaunchFailure, 719, "unspecified launch failure")                               \
  X(cudaErrorNotPermitted, 800, "operation not permitted")                                   \
  X(cudaErrorNotSupported, 801, "operation not supported")                                   \
  X(cudaErrorUnknown, 999, "unknown error")

#define MNEME_CUDA_ERROR_VALUE(name, number, text) name = number,
enum cudaError { MNEME_CUDA_ERRORS(MNEME_CUDA_ERROR_VALUE) };
#undef MNEME_CUDA_ERROR_VALUE
typedef cudaError cudaError_t;
