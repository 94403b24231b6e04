// Scratch memory of one stream: bump allocation that is taken back before the next operation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/guard_zones.h"
#include "kernels/memory.h"

namespace mneme::kernels::cpu {

// Grows to what the largest operation needed and keeps it. Used by the stream's thread only; the
// memory that it hands out may be used by all threads of the operation.
class Scratch {
 public:
  // guarded: what it hands out lies between guard zones.
  Scratch(Backend& backend, bool guarded);

  // Memory for `count` elements, 64-byte aligned, contents undefined, valid until the operation
  // ends. Earlier results of take() in the same operation stay valid.
  template <typename T>
  T* take(std::int64_t count) {
    return reinterpret_cast<T*>(take_bytes(static_cast<std::size_t>(count) * sizeof(T)));
  }

  // Takes everything back; blocks of one operation are merged into one, so that the next operation
  // of that size allocates nothing.
  void reset();
  // Looks at the guard zones of what the last operation took.
  void check_guard_zones();

 private:
  std::byte* take_bytes(std::size_t wanted);

  Backend& backend_;
  std::vector<Buffer> blocks_;
  std::size_t used_ = 0;             // of the last block
  std::optional<GuardZones> zones_;  // in the debug mode with guard zones
};

}  // namespace mneme::kernels::cpu
