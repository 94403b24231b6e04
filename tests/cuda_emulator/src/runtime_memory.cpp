// Device memory and pinned memory of the runtime API. What frees it waits for the device.
#include <cstdlib>
#include <limits>

#include <emulator/runtime_api.h>
#include "tests/cuda_emulator/src/counters.h"
#include "tests/cuda_emulator/src/device_memory.h"
#include "tests/cuda_emulator/src/device_work.h"
#include "tests/cuda_emulator/src/errors.h"
#include "tests/cuda_emulator/src/pinned_memory.h"

using namespace emulator;

namespace {

// Bytes that may be registered at a time. Asked each time, so that a test can change it.
std::size_t registered_limit() {
  const char* mebibytes = std::getenv("MNEME_EMULATED_REGISTERED_MIB");
  if (mebibytes == nullptr) return std::numeric_limits<std::size_t>::max();
  return std::strtoull(mebibytes, nullptr, 10) << 20;
}

}  // namespace

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  if (const cudaError_t error = device_error()) return error;
  if (free_bytes == nullptr || total_bytes == nullptr) return report(cudaErrorInvalidValue);
  *free_bytes = DeviceMemory::instance().free_bytes();
  *total_bytes = DeviceMemory::instance().total_bytes();
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  if (const cudaError_t error = device_error()) return error;
  if (pointer == nullptr) return report(cudaErrorInvalidValue);
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  *pointer = DeviceMemory::instance().allocate(bytes);
  return *pointer != nullptr ? cudaSuccess : report(cudaErrorMemoryAllocation);
}

cudaError_t cudaFree(void* pointer) {
  if (const cudaError_t error = device_error()) return error;
  if (pointer == nullptr) return cudaSuccess;
  count(Counter::kSynchronisations);
  DeviceWork::instance().finish_all();
  if (const cudaError_t error = device_error()) return error;
  return DeviceMemory::instance().release(pointer) ? cudaSuccess : report(cudaErrorInvalidValue);
}

cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned flags) {
  if (const cudaError_t error = device_error()) return error;
  constexpr unsigned kKnown =
      cudaHostAllocPortable | cudaHostAllocMapped | cudaHostAllocWriteCombined;
  if (pointer == nullptr || (flags & ~kKnown) != 0) return report(cudaErrorInvalidValue);
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  *pointer = PinnedMemory::instance().allocate(bytes);
  return *pointer != nullptr ? cudaSuccess : report(cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void* pointer) {
  if (const cudaError_t error = device_error()) return error;
  if (pointer == nullptr) return cudaSuccess;
  count(Counter::kSynchronisations);
  DeviceWork::instance().finish_all();
  if (const cudaError_t error = device_error()) return error;
  return PinnedMemory::instance().release(pointer) ? cudaSuccess : report(cudaErrorInvalidValue);
}

cudaError_t cudaHostRegister(void* pointer, std::size_t bytes, unsigned flags) {
  if (const cudaError_t error = device_error()) return error;
  constexpr unsigned kKnown = cudaHostRegisterPortable | cudaHostRegisterMapped |
                              cudaHostRegisterIoMemory | cudaHostRegisterReadOnly;
  if (pointer == nullptr || bytes == 0 || (flags & ~kKnown) != 0) {
    return report(cudaErrorInvalidValue);
  }
  const std::size_t limit = registered_limit();
  const std::size_t registered = PinnedMemory::instance().added_bytes();
  if (registered > limit || bytes > limit - registered) return report(cudaErrorMemoryAllocation);
  return PinnedMemory::instance().add(pointer, bytes)
             ? cudaSuccess
             : report(cudaErrorHostMemoryAlreadyRegistered);
}

cudaError_t cudaHostUnregister(void* pointer) {
  if (const cudaError_t error = device_error()) return error;
  if (pointer == nullptr) return report(cudaErrorInvalidValue);
  count(Counter::kSynchronisations);
  DeviceWork::instance().finish_all();
  if (const cudaError_t error = device_error()) return error;
  return PinnedMemory::instance().remove(pointer) ? cudaSuccess
                                                  : report(cudaErrorHostMemoryNotRegistered);
}

cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned flags) {
  if (const cudaError_t error = device_error()) return error;
  if (device == nullptr || flags != 0) return report(cudaErrorInvalidValue);
  if (PinnedMemory::instance().range_of(host).bytes == 0) return report(cudaErrorInvalidValue);
  *device = host;
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  if (const cudaError_t error = device_error()) return error;
  if (attributes == nullptr) return report(cudaErrorInvalidValue);
  void* const address = const_cast<void*>(pointer);
  *attributes = {cudaMemoryTypeUnregistered, -2, nullptr, nullptr};
  if (DeviceMemory::instance().allocation_of(pointer).bytes != 0) {
    *attributes = {cudaMemoryTypeDevice, 0, address, nullptr};
  } else if (PinnedMemory::instance().range_of(pointer).bytes != 0) {
    *attributes = {cudaMemoryTypeHost, 0, address, address};
  } else {
    attributes->hostPointer = address;
  }
  return cudaSuccess;
}
