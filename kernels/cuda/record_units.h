// A record in host memory as one stretch of 16-byte units, and where each unit lies in the arena. A
// warp that goes along the stretch asks the bus for whole lines, wherever values and moments begin.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/device_math.h"
#include "kernels/cuda/row_bytes.h"
#include "kernels/location.h"

namespace mneme::kernels::cuda {

inline constexpr std::int32_t kUnit = 16;                  // bytes that a lane moves at once
inline constexpr std::int32_t kBusLine = 128;              // bytes of a line
inline constexpr int kUnitsInFlight = 4;                   // of a lane
inline constexpr std::int32_t kWarpBytes = kWarp * kUnit;  // of neighbouring units

// Whether units never straddle two arrays of a record, and all accesses are aligned. Host code.
inline bool has_whole_units(const RowBytes& arena, const HostRecords& records) {
  std::uintptr_t all = records.stride;
  for (int i = 0; i < arena.rows.count; ++i) {
    const RowArray& array = arena.rows.arrays[i];
    all |= array.bytes | reinterpret_cast<std::uintptr_t>(array.base);
  }
  for (const std::byte* piece : records.pieces) all |= reinterpret_cast<std::uintptr_t>(piece);
  return all % kUnit == 0;
}

// Where the unit at `offset` of a record lies; null in the record's head and in padding.
__device__ __forceinline__ uint4* unit_at(const RowBytes& arena, SlotId slot,
                                          std::uint32_t offset) {
  RowArray array = arena.rows.arrays[0];
#pragma unroll
  for (int i = 1; i < kMaxRowArrays; ++i) {
    if (i < arena.rows.count && offset >= arena.rows.arrays[i].offset) array = arena.rows.arrays[i];
  }
  const bool outside = offset < array.offset || offset - array.offset >= array.bytes;
  return outside ? nullptr
                 : reinterpret_cast<uint4*>(row_of(array, slot) + (offset - array.offset));
}

// Calls body(start) for offsets of records, from one line boundary in front of `record` on: the
// lane's units are those at start + u * kWarpBytes for u < kUnitsInFlight. Not all of them are
// inside the record.
template <typename Body>
__device__ __forceinline__ void for_each_stretch(const std::byte* record, std::uint32_t bytes,
                                                 int lane, const Body& body) {
  const auto in_line =
      static_cast<std::int32_t>(reinterpret_cast<std::uintptr_t>(record) % kBusLine);
  for (std::int32_t start = lane * kUnit - in_line; start < static_cast<std::int32_t>(bytes);
       start += kUnitsInFlight * kWarpBytes) {
    body(start);
  }
}
__device__ __forceinline__ bool is_inside(std::int32_t offset, std::uint32_t bytes) {
  return offset >= 0 && offset < static_cast<std::int32_t>(bytes);
}

// Host memory is read and written once: it should not push other data out of caches. It may change
// between kernels, so that the read-only path is none for it.
__device__ __forceinline__ void unpack_units(const RowBytes& arena, const std::byte* record,
                                             SlotId slot, int lane) {
  for_each_stretch(record, arena.record_bytes, lane, [&](std::int32_t start) {
    uint4 x[kUnitsInFlight] = {};
#pragma unroll
    for (int u = 0; u < kUnitsInFlight; ++u) {
      const std::int32_t offset = start + u * kWarpBytes;
      if (is_inside(offset, arena.record_bytes)) {
        x[u] = __ldcs(reinterpret_cast<const uint4*>(record + offset));
      }
    }
#pragma unroll
    for (int u = 0; u < kUnitsInFlight; ++u) {
      const std::int32_t offset = start + u * kWarpBytes;
      if (!is_inside(offset, arena.record_bytes)) continue;
      uint4* const target = unit_at(arena, slot, static_cast<std::uint32_t>(offset));
      if (target != nullptr) *target = x[u];
      if (offset == 0) set_head(arena, slot, x[u]);
    }
  });
}

// Padding becomes zero: equal rows are equal records.
__device__ __forceinline__ void pack_units(const RowBytes& arena, std::byte* record, SlotId slot,
                                           int lane) {
  for_each_stretch(record, arena.record_bytes, lane, [&](std::int32_t start) {
    uint4 x[kUnitsInFlight] = {};
#pragma unroll
    for (int u = 0; u < kUnitsInFlight; ++u) {
      const std::int32_t offset = start + u * kWarpBytes;
      if (!is_inside(offset, arena.record_bytes)) continue;
      const uint4* const source = unit_at(arena, slot, static_cast<std::uint32_t>(offset));
      if (source != nullptr) x[u] = *source;
      if (offset == 0) x[u] = head_of(arena, slot);
    }
#pragma unroll
    for (int u = 0; u < kUnitsInFlight; ++u) {
      const std::int32_t offset = start + u * kWarpBytes;
      if (is_inside(offset, arena.record_bytes)) {
        __stcs(reinterpret_cast<uint4*>(record + offset), x[u]);
      }
    }
  });
}

}  // namespace mneme::kernels::cuda
