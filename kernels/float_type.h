// The two floating-point types of stored numbers. Arithmetic is float32 in either case.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mneme::kernels {

enum class FloatType : std::uint8_t { kF32, kBF16 };

constexpr std::size_t float_type_bytes(FloatType type) {
  return type == FloatType::kF32 ? 4 : 2;
}

}  // namespace mneme::kernels
