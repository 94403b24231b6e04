// The two floating-point types of stored numbers. Arithmetic is float32 in either case.
#pragma once

#include <cstddef>
#include <cstdint>

#include "io/enum_names.h"

namespace mneme::kernels {

enum class FloatType : std::uint8_t { kF32, kBF16 };
constexpr auto enum_names(FloatType) {
  return std::to_array<io::EnumName<FloatType>>(
      {{"float32", FloatType::kF32}, {"bfloat16", FloatType::kBF16}});
}

constexpr std::size_t float_type_bytes(FloatType type) {
  return type == FloatType::kF32 ? 4 : 2;
}

struct Bf16 {
  std::uint16_t bits;
};

// Calls body with a value of the C++ type of a float type.
template <typename Body>
void with_float_type(FloatType type, const Body& body) {
  if (type == FloatType::kF32) {
    body(float{});
  } else {
    body(Bf16{});
  }
}

}  // namespace mneme::kernels
