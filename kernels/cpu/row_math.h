// What the row operations share: element types, vectors of 16 columns, prefetch, and the weighted
// sums over lookups. Everything here gives each column the same order of sums whatever the width of
// the machine's vectors.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/dispatch.h"
#include "kernels/row_ops.h"
#include "kernels/scalar.h"

namespace mneme::kernels::cpu {

MNEME_INLINE float load_scalar(const float* p) {
  return *p;
}
MNEME_INLINE float load_scalar(const Bf16* p) {
  return bf16_to_float(p->bits);
}

// 16 columns of float32: one AVX-512 register or two of AVX2. The compiler splits it.
inline constexpr int kLanes = 16;
using Lanes = float __attribute__((vector_size(64)));
using LaneBits = std::uint32_t __attribute__((vector_size(64)));
using LaneSigns = std::int32_t __attribute__((vector_size(64)));
namespace internal {
using LooseLanes = float __attribute__((vector_size(64), aligned(4), may_alias));
using LooseHalves = std::uint16_t __attribute__((vector_size(32), aligned(2), may_alias));
}  // namespace internal

MNEME_INLINE void load_lanes(const float* p, Lanes& out) {
  out = *reinterpret_cast<const internal::LooseLanes*>(p);
}
MNEME_INLINE void load_lanes(const Bf16* p, Lanes& out) {
  const internal::LooseHalves halves = *reinterpret_cast<const internal::LooseHalves*>(p);
  const LaneBits bits = __builtin_convertvector(halves, LaneBits) << 16;
  out = reinterpret_cast<Lanes>(bits);
}
// 8 columns; the other lanes are 0.
MNEME_INLINE void load_half_lanes(const float* p, Lanes& out) {
  out = Lanes{};
  __builtin_memcpy(&out, p, 8 * sizeof(float));
}
MNEME_INLINE void load_half_lanes(const Bf16* p, Lanes& out) {
  float x[8];
  for (int i = 0; i < 8; ++i) x[i] = bf16_to_float(p[i].bits);
  load_half_lanes(x, out);
}
MNEME_INLINE void store_lanes(float* p, const Lanes& x) {
  *reinterpret_cast<internal::LooseLanes*>(p) = x;
}
MNEME_INLINE void fill_lanes(float x, Lanes& out) {
  out = Lanes{} + x;
}

// The sum of the lanes, in the order of a binary tree.
MNEME_INLINE float add_up_lanes(const Lanes& x) {
  float part[kLanes];
  for (int i = 0; i < kLanes; ++i) part[i] = x[i];
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) part[i] += part[i + half];
  }
  return part[0];
}

// Brings [p, p + bytes) towards the core.
MNEME_INLINE void prefetch_bytes(const void* p, std::int64_t bytes) {
  const char* line = static_cast<const char*>(p);
  for (std::int64_t offset = 0; offset < bytes; offset += 64) {
    __builtin_prefetch(line + offset, 0, 3);
  }
}
MNEME_INLINE void prefetch_bytes_to_write(const void* p, std::int64_t bytes) {
  const char* line = static_cast<const char*>(p);
  for (std::int64_t offset = 0; offset < bytes; offset += 64) {
    __builtin_prefetch(line + offset, 1, 3);
  }
}

// A row of an arena's array.
template <typename T>
MNEME_INLINE T* row_of(void* base, SlotId slot, std::int64_t width) {
  return static_cast<T*>(base) + static_cast<std::int64_t>(slot) * width;
}

}  // namespace mneme::kernels::cpu
