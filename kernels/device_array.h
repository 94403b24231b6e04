// Typed device and pinned buffers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/backend.h"

namespace mneme::kernels {

// Owns `count` elements of T in one kind of memory. Move-only; the backend must outlive it.
template <typename T>
class DeviceArray {
 public:
  DeviceArray() = default;
  DeviceArray(Backend& backend, std::int64_t count, MemoryKind kind = MemoryKind::kDevice)
      : count_(count) {
    if (count > 0) {
      buffer_ = backend.allocate(static_cast<std::size_t>(count) * sizeof(T), kind);
    }
  }

  T* data() const { return buffer_.as<T>(); }
  // Of pinned host memory. REQUIRES: no queued work uses the element.
  T& operator[](std::int64_t index) const { return data()[index]; }
  std::int64_t count() const { return count_; }
  static std::size_t bytes(std::int64_t count) {
    return static_cast<std::size_t>(count) * sizeof(T);
  }

 private:
  Buffer buffer_;
  std::int64_t count_ = 0;
};

// The same with a float type chosen at run time; nothing where count is 0.
class FloatArray {
 public:
  FloatArray() = default;
  FloatArray(Backend& backend, std::int64_t count, FloatType type)
      : buffer_(backend.allocate(static_cast<std::size_t>(count) * float_type_bytes(type),
                                 MemoryKind::kDevice)) {}

  void* data() const { return buffer_.as<void>(); }

 private:
  Buffer buffer_;
};

template <typename T>
DeviceArray<T> pinned_array(Backend& backend, std::int64_t count) {
  return DeviceArray<T>(backend, count, MemoryKind::kPinnedHost);
}

}  // namespace mneme::kernels
