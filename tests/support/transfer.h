// Numbers in and out of device memory, which the host must not touch, through pinned memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "kernels/backend.h"

namespace mneme::testing {

// Waits for the stream.
template <typename T>
void write_device(kernels::Backend& backend, kernels::Stream& stream, T* target,
                  const std::vector<T>& values) {
  const std::size_t bytes = values.size() * sizeof(T);
  const kernels::Buffer staging = backend.allocate(bytes, kernels::MemoryKind::kPinnedHost);
  std::copy(values.begin(), values.end(), staging.as<T>());
  backend.copy(stream, target, staging.as<void>(), bytes);
  stream.synchronize();
}

template <typename T>
kernels::Buffer upload(kernels::Backend& backend, kernels::Stream& stream,
                       const std::vector<T>& values) {
  kernels::Buffer buffer =
      backend.allocate(values.size() * sizeof(T), kernels::MemoryKind::kDevice);
  write_device(backend, stream, buffer.as<T>(), values);
  return buffer;
}

// Waits for the stream.
template <typename T>
std::vector<T> read_device(kernels::Backend& backend, kernels::Stream& stream, const T* source,
                           std::size_t count) {
  const kernels::Buffer staging =
      backend.allocate(count * sizeof(T), kernels::MemoryKind::kPinnedHost);
  backend.copy(stream, staging.as<void>(), source, count * sizeof(T));
  stream.synchronize();
  return {staging.as<T>(), staging.as<T>() + count};
}

}  // namespace mneme::testing
