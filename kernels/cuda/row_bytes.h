// Rows and their records as bytes, copied and zeroed by the lanes of a warp.
#pragma once

#include <cstddef>
#include <cstdint>

#include "io/check.h"
#include "kernels/cuda/device_math.h"
#include "kernels/row_ops.h"

namespace mneme::kernels::cuda {

// A parameter of kernels.
struct RowBytes {
  std::byte* values;
  std::byte* moment1;  // null: none
  std::byte* moment2;
  float* row_state;  // null: none
  std::uint32_t* last_step;
  std::uint32_t value_bytes, moment_bytes;
  std::uint32_t moment1_offset, moment2_offset;  // in a record
  std::uint32_t record_bytes;
};

inline RowBytes row_bytes(const RowArena& arena) {
  const RecordLayout& layout = arena.layout;
  CHECK(layout.width >= 1 && layout.width < std::uint32_t{1} << 28);
  CHECK(arena.values != nullptr && arena.last_step != nullptr);
  CHECK(!layout.moments || (arena.moment1 != nullptr && arena.moment2 != nullptr));
  CHECK(!layout.row_state || arena.row_state != nullptr);
  return {static_cast<std::byte*>(arena.values),
          layout.moments ? static_cast<std::byte*>(arena.moment1) : nullptr,
          layout.moments ? static_cast<std::byte*>(arena.moment2) : nullptr,
          layout.row_state ? arena.row_state : nullptr,
          arena.last_step,
          static_cast<std::uint32_t>(layout.value_bytes()),
          static_cast<std::uint32_t>(layout.moment_bytes()),
          static_cast<std::uint32_t>(layout.moment1_offset()),
          static_cast<std::uint32_t>(layout.moment2_offset()),
          static_cast<std::uint32_t>(layout.record_bytes())};
}
inline constexpr std::uint32_t kValueOffset = 32;  // of a record

template <typename Unit>
__device__ __forceinline__ void copy_units(std::byte* target, const std::byte* source,
                                           std::uint32_t bytes, int lane) {
  constexpr std::uint32_t kInFlight = 4;
  const auto* in = reinterpret_cast<const Unit*>(source);
  auto* out = reinterpret_cast<Unit*>(target);
  const std::uint32_t units = bytes / static_cast<std::uint32_t>(sizeof(Unit));
  for (auto at = static_cast<std::uint32_t>(lane); at < units; at += kInFlight * kWarp) {
    Unit x[kInFlight] = {};
#pragma unroll
    for (std::uint32_t i = 0; i < kInFlight; ++i) {
      if (at + i * kWarp < units) x[i] = in[at + i * kWarp];
    }
#pragma unroll
    for (std::uint32_t i = 0; i < kInFlight; ++i) {
      if (at + i * kWarp < units) out[at + i * kWarp] = x[i];
    }
  }
}

// In units as large as addresses and length allow. REQUIRES: all of them are even.
__device__ __forceinline__ void copy_bytes(std::byte* target, const std::byte* source,
                                           std::uint32_t bytes, int lane) {
  const std::uint64_t all =
      reinterpret_cast<std::uintptr_t>(target) | reinterpret_cast<std::uintptr_t>(source) | bytes;
  if (all % 16 == 0) {
    copy_units<uint4>(target, source, bytes, lane);
  } else if (all % 4 == 0) {
    copy_units<std::uint32_t>(target, source, bytes, lane);
  } else {
    copy_units<std::uint16_t>(target, source, bytes, lane);
  }
}

__device__ __forceinline__ void zero_bytes(std::byte* target, std::uint32_t bytes, int lane) {
  const bool whole = (reinterpret_cast<std::uintptr_t>(target) | bytes) % 16 == 0;
  const std::uint32_t unit = whole ? 16 : 2;
  for (std::uint32_t at = static_cast<std::uint32_t>(lane) * unit; at < bytes; at += kWarp * unit) {
    if (whole) {
      *reinterpret_cast<uint4*>(target + at) = make_uint4(0, 0, 0, 0);
    } else {
      *reinterpret_cast<std::uint16_t*>(target + at) = 0;
    }
  }
}

__device__ __forceinline__ std::byte* part_of(std::byte* base, SlotId slot, std::uint32_t bytes) {
  return base + std::uint64_t{slot} * bytes;
}

}  // namespace mneme::kernels::cuda
