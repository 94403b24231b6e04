// All device memory of a backend: one allocation made at the start and handed out in pieces, so
// that nothing calls cudaMalloc, which stops the device, while a model trains.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>

#include "kernels/guard_zones.h"

namespace mneme::kernels::cuda {

class DeviceArena {
 public:
  static constexpr std::size_t kAlignment = 256;

  // bytes 0: what is free on the device less reserve_bytes, which are left to CUDA itself (code,
  // cuBLAS), to profilers and to other programs' small change. Throws Error when the device has
  // less. guarded: every piece lies between guard zones.
  explicit DeviceArena(std::size_t bytes, std::size_t reserve_bytes = 0,
                       bool guarded = guard_zones_wanted());
  ~DeviceArena();
  DeviceArena(const DeviceArena&) = delete;
  DeviceArena& operator=(const DeviceArena&) = delete;

  // Contents undefined, aligned to kAlignment. First fit. Any thread. what: for messages about its
  // guard zones. Throws Error that says what was asked, what is free and which settings to lower.
  void* allocate(std::size_t bytes, const char* what = "device memory");
  // Nothing queued may still use the memory. Looks at its guard zones.
  void release(void* data, std::size_t bytes) noexcept;
  // Looks at the guard zones of all pieces. when: "when a stream was synchronised".
  void check_guard_zones(const char* when) const;
  bool guarded() const { return zones_.has_value(); }

  std::size_t bytes() const { return bytes_; }
  std::size_t free_bytes() const;

 private:
  // What a piece takes from the arena.
  std::size_t space(std::size_t bytes) const;
  std::byte* take(std::size_t bytes);
  void give_back(void* begin, std::size_t bytes);

  std::size_t bytes_ = 0;
  std::byte* base_ = nullptr;
  mutable std::mutex mutex_;
  std::map<std::size_t, std::size_t> free_;  // offset -> bytes, never adjacent
  std::optional<GuardZones> zones_;          // in the debug mode with guard zones
};

}  // namespace mneme::kernels::cuda
