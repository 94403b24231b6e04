// All device memory of a backend: one allocation made at the start and handed out in pieces, so
// that nothing calls cudaMalloc, which stops the device, while a model trains.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>

namespace mneme::kernels::cuda {

class DeviceArena {
 public:
  static constexpr std::size_t kAlignment = 256;

  // bytes 0: what is free on the device less reserve_bytes, which are left to CUDA itself (code,
  // cuBLAS), to profilers and to other programs' small change. Throws Error when the device has
  // less.
  explicit DeviceArena(std::size_t bytes, std::size_t reserve_bytes = 0);
  ~DeviceArena();
  DeviceArena(const DeviceArena&) = delete;
  DeviceArena& operator=(const DeviceArena&) = delete;

  // Contents undefined, aligned to kAlignment. First fit. Any thread. Throws Error that says what
  // was asked, what is free and which settings to lower.
  void* allocate(std::size_t bytes);
  // Nothing queued may still use the memory.
  void release(void* data, std::size_t bytes) noexcept;

  std::size_t bytes() const { return bytes_; }
  std::size_t free_bytes() const;

 private:
  std::size_t bytes_ = 0;
  std::byte* base_ = nullptr;
  mutable std::mutex mutex_;
  std::map<std::size_t, std::size_t> free_;  // offset -> bytes, never adjacent
};

}  // namespace mneme::kernels::cuda
