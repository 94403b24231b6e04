// Memory, copies and fills of the runtime API.
#include <cstdlib>
#include <cstring>
#include <limits>

#include <emulator/device_access.h>
#include <emulator/runtime_api.h>
#include "tests/cuda_emulator/src/device_memory.h"
#include "tests/cuda_emulator/src/errors.h"
#include "tests/cuda_emulator/src/memory_places.h"
#include "tests/cuda_emulator/src/pinned_memory.h"
#include "tests/cuda_emulator/src/report.h"
#include "tests/cuda_emulator/src/streams.h"

using namespace emulator;

namespace {

bool agrees(cudaMemcpyKind kind, bool to_device, bool from_device) {
  switch (kind) {
    case cudaMemcpyHostToHost:
      return !to_device && !from_device;
    case cudaMemcpyHostToDevice:
      return to_device && !from_device;
    case cudaMemcpyDeviceToHost:
      return !to_device && from_device;
    case cudaMemcpyDeviceToDevice:
      return to_device && from_device;
    case cudaMemcpyDefault:
      return true;
  }
  return false;
}

// Rows of bytes, `pitch` bytes from one to the next.
struct Rows {
  std::size_t width;
  std::size_t height = 1;

  bool is_empty() const { return width == 0 || height == 0; }
  std::size_t bytes(std::size_t pitch) const { return (height - 1) * pitch + width; }
};

cudaError_t copy(const char* operation, void* to, std::size_t to_pitch, const void* from,
                 std::size_t from_pitch, Rows rows, cudaMemcpyKind kind, bool pageable_allowed) {
  if (!has_device()) return report(cudaErrorNoDevice);
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) {
    return report(cudaErrorInvalidMemcpyDirection);
  }
  if (rows.is_empty()) return cudaSuccess;
  if (to == nullptr || from == nullptr) return report(cudaErrorInvalidValue);
  if (to_pitch < rows.width || from_pitch < rows.width) return report(cudaErrorInvalidPitchValue);
  const Place target = place_of(operation, "target", to, rows.bytes(to_pitch));
  const Place source = place_of(operation, "source", from, rows.bytes(from_pitch));
  if (!agrees(kind, target == Place::kDevice, source == Place::kDevice)) {
    return report(cudaErrorInvalidValue);
  }
  if (!pageable_allowed && (target == Place::kPageable || source == Place::kPageable)) {
    die("%s: the %s is pageable host memory; use memory of cudaHostAlloc or cudaHostRegister",
        operation, target == Place::kPageable ? "target" : "source");
  }
  const device_access access;
  for (std::size_t row = 0; row < rows.height; ++row) {
    std::memmove(static_cast<char*>(to) + row * to_pitch,
                 static_cast<const char*>(from) + row * from_pitch, rows.width);
  }
  return cudaSuccess;
}

cudaError_t fill(const char* operation, void* pointer, std::size_t pitch, int value, Rows rows) {
  if (!has_device()) return report(cudaErrorNoDevice);
  if (rows.is_empty()) return cudaSuccess;
  if (pointer == nullptr) return report(cudaErrorInvalidValue);
  if (pitch < rows.width) return report(cudaErrorInvalidPitchValue);
  if (place_of(operation, "target", pointer, rows.bytes(pitch)) == Place::kPageable) {
    return report(cudaErrorInvalidValue);
  }
  const device_access access;
  for (std::size_t row = 0; row < rows.height; ++row) {
    std::memset(static_cast<char*>(pointer) + row * pitch, value, rows.width);
  }
  return cudaSuccess;
}

// Bytes that may be registered at a time. Asked each time, so that a test can change it.
std::size_t registered_limit() {
  const char* mebibytes = std::getenv("MNEME_EMULATED_REGISTERED_MIB");
  if (mebibytes == nullptr) return std::numeric_limits<std::size_t>::max();
  return std::strtoull(mebibytes, nullptr, 10) << 20;
}

}  // namespace

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  if (!has_device()) return report(cudaErrorNoDevice);
  if (free_bytes == nullptr || total_bytes == nullptr) return report(cudaErrorInvalidValue);
  *free_bytes = DeviceMemory::instance().free_bytes();
  *total_bytes = DeviceMemory::instance().total_bytes();
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  if (!has_device()) return report(cudaErrorNoDevice);
  if (pointer == nullptr) return report(cudaErrorInvalidValue);
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  *pointer = DeviceMemory::instance().allocate(bytes);
  return *pointer != nullptr ? cudaSuccess : report(cudaErrorMemoryAllocation);
}

cudaError_t cudaFree(void* pointer) {
  if (!has_device()) return report(cudaErrorNoDevice);
  if (pointer == nullptr) return cudaSuccess;
  return DeviceMemory::instance().release(pointer) ? cudaSuccess : report(cudaErrorInvalidValue);
}

cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned flags) {
  if (!has_device()) return report(cudaErrorNoDevice);
  constexpr unsigned kKnown =
      cudaHostAllocPortable | cudaHostAllocMapped | cudaHostAllocWriteCombined;
  if (pointer == nullptr || (flags & ~kKnown) != 0) return report(cudaErrorInvalidValue);
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  *pointer = PinnedMemory::instance().allocate(bytes);
  return *pointer != nullptr ? cudaSuccess : report(cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void* pointer) {
  if (pointer == nullptr) return cudaSuccess;
  return PinnedMemory::instance().release(pointer) ? cudaSuccess : report(cudaErrorInvalidValue);
}

cudaError_t cudaHostRegister(void* pointer, std::size_t bytes, unsigned flags) {
  if (!has_device()) return report(cudaErrorNoDevice);
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
  if (pointer == nullptr) return report(cudaErrorInvalidValue);
  return PinnedMemory::instance().remove(pointer) ? cudaSuccess
                                                  : report(cudaErrorHostMemoryNotRegistered);
}

cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned flags) {
  if (!has_device()) return report(cudaErrorNoDevice);
  if (device == nullptr || flags != 0) return report(cudaErrorInvalidValue);
  if (PinnedMemory::instance().range_of(host).bytes == 0) return report(cudaErrorInvalidValue);
  *device = host;
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  if (!has_device()) return report(cudaErrorNoDevice);
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

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return copy("cudaMemcpy", to, bytes, from, bytes, {bytes}, kind, true);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  if (!is_stream(stream)) return report(cudaErrorInvalidResourceHandle);
  return copy("cudaMemcpyAsync", to, bytes, from, bytes, {bytes}, kind, false);
}

cudaError_t cudaMemset(void* pointer, int value, std::size_t bytes) {
  return fill("cudaMemset", pointer, bytes, value, {bytes});
}

cudaError_t cudaMemsetAsync(void* pointer, int value, std::size_t bytes, cudaStream_t stream) {
  if (!is_stream(stream)) return report(cudaErrorInvalidResourceHandle);
  return fill("cudaMemsetAsync", pointer, bytes, value, {bytes});
}

cudaError_t cudaMemset2DAsync(void* pointer, std::size_t pitch, int value, std::size_t width,
                              std::size_t height, cudaStream_t stream) {
  if (!is_stream(stream)) return report(cudaErrorInvalidResourceHandle);
  return fill("cudaMemset2DAsync", pointer, pitch, value, {width, height});
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  if (!is_stream(stream)) return report(cudaErrorInvalidResourceHandle);
  return copy("cudaMemcpy2DAsync", to, to_pitch, from, from_pitch, {width, height}, kind, false);
}
