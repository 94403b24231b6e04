// Numbers handed from float32 arithmetic to matrix products in the backend's compute type.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace mneme::kernels {

// `count` float32 numbers in `type`: x itself, or `target` after a queued conversion. target:
// device memory for them, null when type is float32.
inline const void* converted(Backend& backend, Stream& stream, const float* x, std::int64_t count,
                             FloatType type, void* target) {
  if (type == FloatType::kF32) return x;
  backend.convert(stream, {.source = x, .target = target, .target_type = type, .count = count});
  return target;
}

}  // namespace mneme::kernels
