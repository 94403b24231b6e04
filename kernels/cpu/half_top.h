// The best few of one half's scores.
#pragma once

#include <cstdint>

namespace mneme::kernels::cpu {

inline constexpr std::int64_t kMaxHalfTop = 129;

// Sorted: higher score first, ties by lower index.
struct HalfTop {
  float scores[kMaxHalfTop];
  std::uint32_t indices[kMaxHalfTop];
  bool has_nan = false;  // then the rest is undefined
};

// The `top` best of scores[0, count). REQUIRES 1 <= top <= min(count, kMaxHalfTop).
// scratch: [count].
void find_half_top(const float* scores, std::int64_t count, std::int64_t top,
                   std::uint64_t* scratch, HalfTop& out);

}  // namespace mneme::kernels::cpu
