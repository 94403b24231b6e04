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
  RowArrays rows;
  float* sums[kMaxRowParts];  // null: none
  std::uint32_t* last_step;
  std::uint32_t* moment_lag;  // null: none
  std::uint32_t record_bytes;
};

inline RowBytes row_bytes(const RowArena& arena) {
  CHECK(arena.is_complete());
  CHECK(arena.layout.record_bytes() < std::uint32_t{1} << 31);
  RowBytes bytes{row_arrays(arena),
                 {},
                 arena.last_step,
                 arena.layout.has_moments() ? arena.moment_lag : nullptr,
                 static_cast<std::uint32_t>(arena.layout.record_bytes())};
  for (int i = 0; i < arena.layout.part_count; ++i) {
    if (arena.layout.parts[i].sum) bytes.sums[i] = arena.parts[i].sums;
  }
  return bytes;
}

// The head of a record (row_layout.h): the words of its first 16 bytes; the others are zero.
__device__ __forceinline__ uint4 head_of(const RowBytes& arena, SlotId slot) {
  const auto sum = [&](int part) {
    return arena.sums[part] != nullptr ? float_bits(arena.sums[part][slot]) : 0u;
  };
  return make_uint4(arena.last_step[slot], sum(0),
                    arena.moment_lag != nullptr ? arena.moment_lag[slot] : 0u, sum(1));
}
__device__ __forceinline__ void set_head(const RowBytes& arena, SlotId slot, const uint4& head) {
  arena.last_step[slot] = head.x;
  if (arena.moment_lag != nullptr) arena.moment_lag[slot] = head.z;
  if (arena.sums[0] != nullptr) arena.sums[0][slot] = bits_float(head.y);
  if (arena.sums[1] != nullptr) arena.sums[1][slot] = bits_float(head.w);
}

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

__device__ __forceinline__ std::byte* row_of(const RowArray& array, SlotId slot) {
  return array.base + std::uint64_t{slot} * array.bytes;
}

}  // namespace mneme::kernels::cuda
