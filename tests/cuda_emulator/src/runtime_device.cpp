// The emulated device, as the runtime API describes it.
#include <algorithm>
#include <cstdio>
#include <cstring>

#include <emulator/runtime_api.h>
#include "tests/cuda_emulator/src/counters.h"
#include "tests/cuda_emulator/src/device_memory.h"
#include "tests/cuda_emulator/src/device_work.h"
#include "tests/cuda_emulator/src/errors.h"
#include "tests/cuda_emulator/src/launch_limits.h"
#include "tests/cuda_emulator/src/static_shared.h"

using namespace emulator;

namespace {

constexpr int kL2Bytes = 50 << 20;
constexpr char kBusId[] = "0000:01:00.0";

cudaError_t check_device(int device) {
  if (const cudaError_t error = device_error()) return error;
  return device == 0 ? cudaSuccess : report(cudaErrorInvalidDevice);
}

}  // namespace

cudaError_t cudaDriverGetVersion(int* version) {
  if (version == nullptr) return report(cudaErrorInvalidValue);
  // Zero is what the runtime says of a machine without a driver.
  *version = has_device() ? CUDART_VERSION : 0;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  if (version == nullptr) return report(cudaErrorInvalidValue);
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  if (count == nullptr) return report(cudaErrorInvalidValue);
  *count = has_device() ? 1 : 0;
  return has_device() ? cudaSuccess : report(cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int device) {
  return check_device(device);
}

cudaError_t cudaGetDevice(int* device) {
  if (device == nullptr) return report(cudaErrorInvalidValue);
  *device = 0;
  return check_device(0);
}

cudaError_t cudaDeviceSynchronize() {
  if (const cudaError_t error = device_error()) return error;
  count(Counter::kSynchronisations);
  DeviceWork::instance().finish_all();
  return device_error();
}

cudaError_t cudaDeviceGetPCIBusId(char* id, int length, int device) {
  if (const cudaError_t error = check_device(device)) return error;
  if (id == nullptr || length < static_cast<int>(sizeof kBusId)) {
    return report(cudaErrorInvalidValue);
  }
  std::memcpy(id, kBusId, sizeof kBusId);
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (properties == nullptr) return report(cudaErrorInvalidValue);
  if (const cudaError_t error = check_device(device)) return error;
  cudaDeviceProp p{};
  std::snprintf(p.name, sizeof p.name, "emulated");
  p.totalGlobalMem = DeviceMemory::instance().total_bytes();
  p.sharedMemPerBlock = kSharedBytes;
  p.regsPerBlock = kRegisters;
  p.warpSize = 32;
  p.maxThreadsPerBlock = kMaxBlockThreads;
  std::copy_n(kMaxBlockDim, 3, p.maxThreadsDim);
  std::copy_n(kMaxGridDim, 3, p.maxGridSize);
  p.totalConstMem = 64 << 10;
  p.major = 9;
  p.multiProcessorCount = kMultiprocessors;
  p.canMapHostMemory = 1;
  p.concurrentKernels = 1;
  p.pciBusID = 1;
  p.asyncEngineCount = 3;
  p.unifiedAddressing = 1;
  p.memoryBusWidth = 5120;
  p.l2CacheSize = kL2Bytes;
  p.maxThreadsPerMultiProcessor = kThreadsPerMultiprocessor;
  p.streamPrioritiesSupported = 1;
  p.sharedMemPerMultiprocessor = kSharedBytesPerMultiprocessor;
  p.regsPerMultiprocessor = kRegisters;
  p.sharedMemPerBlockOptin = max_shared_bytes();
  p.maxBlocksPerMultiProcessor = kBlocksPerMultiprocessor;
  p.reservedSharedMemPerBlock = kReservedSharedBytes;
  p.hostRegisterSupported = 1;
  *properties = p;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (value == nullptr) return report(cudaErrorInvalidValue);
  cudaDeviceProp p{};
  if (const cudaError_t error = cudaGetDeviceProperties(&p, device)) return error;
  const auto number = [](std::size_t bytes) { return static_cast<int>(bytes); };
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = p.maxThreadsPerBlock;
      break;
    case cudaDevAttrMaxBlockDimX:
      *value = p.maxThreadsDim[0];
      break;
    case cudaDevAttrMaxBlockDimY:
      *value = p.maxThreadsDim[1];
      break;
    case cudaDevAttrMaxBlockDimZ:
      *value = p.maxThreadsDim[2];
      break;
    case cudaDevAttrMaxGridDimX:
      *value = p.maxGridSize[0];
      break;
    case cudaDevAttrMaxGridDimY:
      *value = p.maxGridSize[1];
      break;
    case cudaDevAttrMaxGridDimZ:
      *value = p.maxGridSize[2];
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = number(p.sharedMemPerBlock);
      break;
    case cudaDevAttrWarpSize:
      *value = p.warpSize;
      break;
    case cudaDevAttrMaxRegistersPerBlock:
      *value = p.regsPerBlock;
      break;
    case cudaDevAttrClockRate:
      *value = 1980000;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = p.multiProcessorCount;
      break;
    case cudaDevAttrIntegrated:
      *value = p.integrated;
      break;
    case cudaDevAttrCanMapHostMemory:
      *value = p.canMapHostMemory;
      break;
    case cudaDevAttrMemoryClockRate:
      *value = 2619000;
      break;
    case cudaDevAttrGlobalMemoryBusWidth:
      *value = p.memoryBusWidth;
      break;
    case cudaDevAttrL2CacheSize:
      *value = p.l2CacheSize;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = p.maxThreadsPerMultiProcessor;
      break;
    case cudaDevAttrAsyncEngineCount:
      *value = p.asyncEngineCount;
      break;
    case cudaDevAttrUnifiedAddressing:
      *value = p.unifiedAddressing;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = p.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = p.minor;
      break;
    case cudaDevAttrStreamPrioritiesSupported:
      *value = p.streamPrioritiesSupported;
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = number(p.sharedMemPerMultiprocessor);
      break;
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      *value = p.regsPerMultiprocessor;
      break;
    case cudaDevAttrPageableMemoryAccess:
      *value = p.pageableMemoryAccess;
      break;
    case cudaDevAttrCooperativeLaunch:
      *value = p.cooperativeLaunch;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = number(p.sharedMemPerBlockOptin);
      break;
    case cudaDevAttrHostRegisterSupported:
      *value = p.hostRegisterSupported;
      break;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      *value = p.maxBlocksPerMultiProcessor;
      break;
    case cudaDevAttrReservedSharedMemoryPerBlock:
      *value = number(p.reservedSharedMemPerBlock);
      break;
    default:
      return report(cudaErrorNotSupported);
  }
  return cudaSuccess;
}

// By threads and shared memory; registers are not known.
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function,
                                                          int block_size,
                                                          std::size_t dynamic_bytes) {
  if (const cudaError_t error = check_device(0)) return error;
  if (blocks == nullptr || block_size <= 0) return report(cudaErrorInvalidValue);
  if (function == nullptr) return report(cudaErrorInvalidDeviceFunction);
  *blocks = 0;
  if (block_size > static_cast<int>(kMaxBlockThreads)) return cudaSuccess;
  if (dynamic_bytes > allowed_dynamic_bytes(function)) return cudaSuccess;
  const int by_threads = kThreadsPerMultiprocessor / ((block_size + 31) / 32 * 32);
  const std::size_t by_memory =
      kSharedBytesPerMultiprocessor /
      (dynamic_bytes + static_shared_bytes(function) + kReservedSharedBytes);
  *blocks = std::min({by_threads, kBlocksPerMultiprocessor,
                      static_cast<int>(std::min<std::size_t>(by_memory, 1024))});
  return cudaSuccess;
}
