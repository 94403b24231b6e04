// Copies and fills of the runtime API.
//
// When they return is what "API synchronization behavior" of CUDA's manual says; where it leaves a
// choice, the one that shows more: a copy within pinned memory, a copy within the device and a fill
// of device memory are waited for by nobody.
#include <cstring>
#include <vector>

#include <emulator/runtime_api.h>
#include "tests/cuda_emulator/src/counters.h"
#include "tests/cuda_emulator/src/device_work.h"
#include "tests/cuda_emulator/src/errors.h"
#include "tests/cuda_emulator/src/memory_places.h"

using namespace emulator;

namespace {

// What CUDA takes from pageable memory at the call.
constexpr std::size_t kStagedBytes = std::size_t{64} << 10;

// Rows of bytes, `pitch` bytes from one to the next.
struct Rows {
  std::size_t width;
  std::size_t height = 1;

  bool is_empty() const { return width == 0 || height == 0; }
  std::size_t bytes(std::size_t pitch) const { return (height - 1) * pitch + width; }
};

struct Copy {
  void* to;
  std::size_t to_pitch;
  const void* from;
  std::size_t from_pitch;
  Rows rows;

  void run() const {
    for (std::size_t row = 0; row < rows.height; ++row) {
      std::memmove(static_cast<char*>(to) + row * to_pitch,
                   static_cast<const char*>(from) + row * from_pitch, rows.width);
    }
  }
};

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

cudaError_t queue(cudaStream_t stream, std::function<void()> work, Return when) {
  const auto needs = Needs::kDeviceMemory;
  const cudaError_t error = DeviceWork::instance().add(stream, std::move(work), needs, when);
  if (error != cudaSuccess) return report(error);
  return when == Return::kWhenDone ? device_error() : cudaSuccess;
}

// Queues a copy of what the source holds now.
cudaError_t queue_staged(cudaStream_t stream, const Copy& copy) {
  const auto* from = static_cast<const unsigned char*>(copy.from);
  std::vector<unsigned char> staged(from, from + copy.rows.bytes(copy.from_pitch));
  const auto run = [copy, staged = std::move(staged)] {
    Copy{copy.to, copy.to_pitch, staged.data(), copy.from_pitch, copy.rows}.run();
  };
  return queue(stream, run, Return::kAtOnce);
}

cudaError_t queue_copy(const char* operation, cudaStream_t stream, const Copy& copy,
                       cudaMemcpyKind kind, bool asynchronous) {
  if (const cudaError_t error = device_error()) return error;
  if (!DeviceWork::instance().has_stream(stream)) return report(cudaErrorInvalidResourceHandle);
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) {
    return report(cudaErrorInvalidMemcpyDirection);
  }
  const auto& [to, to_pitch, from, from_pitch, rows] = copy;
  if (rows.is_empty()) return cudaSuccess;
  if (to == nullptr || from == nullptr) return report(cudaErrorInvalidValue);
  if (to_pitch < rows.width || from_pitch < rows.width) return report(cudaErrorInvalidPitchValue);
  const Place target = place_of(operation, "target", to, rows.bytes(to_pitch));
  const Place source = place_of(operation, "source", from, rows.bytes(from_pitch));
  if (!agrees(kind, target == Place::kDevice, source == Place::kDevice)) {
    return report(cudaErrorInvalidValue);
  }
  count(Counter::kCopies);
  count(Counter::kCopiedBytes, rows.width * rows.height);
  const bool within_device = target == Place::kDevice && source == Place::kDevice;
  const bool pageable = target == Place::kPageable || source == Place::kPageable;
  if (asynchronous && pageable && target == Place::kDevice &&
      rows.bytes(from_pitch) <= kStagedBytes) {
    return queue_staged(stream, copy);
  }
  const bool at_once = asynchronous ? !pageable : within_device;
  return queue(
      stream, [copy] { copy.run(); }, at_once ? Return::kAtOnce : Return::kWhenDone);
}

cudaError_t queue_fill(const char* operation, cudaStream_t stream, void* pointer, std::size_t pitch,
                       int value, Rows rows, bool asynchronous) {
  if (const cudaError_t error = device_error()) return error;
  if (!DeviceWork::instance().has_stream(stream)) return report(cudaErrorInvalidResourceHandle);
  if (rows.is_empty()) return cudaSuccess;
  if (pointer == nullptr) return report(cudaErrorInvalidValue);
  if (pitch < rows.width) return report(cudaErrorInvalidPitchValue);
  const Place target = place_of(operation, "target", pointer, rows.bytes(pitch));
  if (target == Place::kPageable) return report(cudaErrorInvalidValue);
  count(Counter::kFills);
  const auto run = [=] {
    for (std::size_t row = 0; row < rows.height; ++row) {
      std::memset(static_cast<char*>(pointer) + row * pitch, value, rows.width);
    }
  };
  const bool at_once = asynchronous || target == Place::kDevice;
  return queue(stream, run, at_once ? Return::kAtOnce : Return::kWhenDone);
}

}  // namespace

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return queue_copy("cudaMemcpy", nullptr, {to, bytes, from, bytes, {bytes}}, kind, false);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return queue_copy("cudaMemcpyAsync", stream, {to, bytes, from, bytes, {bytes}}, kind, true);
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  const Copy copy{to, to_pitch, from, from_pitch, {width, height}};
  return queue_copy("cudaMemcpy2DAsync", stream, copy, kind, true);
}

cudaError_t cudaMemset(void* pointer, int value, std::size_t bytes) {
  return queue_fill("cudaMemset", nullptr, pointer, bytes, value, {bytes}, false);
}

cudaError_t cudaMemsetAsync(void* pointer, int value, std::size_t bytes, cudaStream_t stream) {
  return queue_fill("cudaMemsetAsync", stream, pointer, bytes, value, {bytes}, true);
}

cudaError_t cudaMemset2DAsync(void* pointer, std::size_t pitch, int value, std::size_t width,
                              std::size_t height, cudaStream_t stream) {
  return queue_fill("cudaMemset2DAsync", stream, pointer, pitch, value, {width, height}, true);
}
