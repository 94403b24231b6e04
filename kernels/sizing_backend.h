// A backend for asking how much memory something takes. It hands out addresses without memory
// behind them, counts the bytes and leaves out what would fill them, so that the constructors of a
// model and of its tiers say what they allocate for any machine, in a moment and on a small one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/backend.h"

namespace mneme::kernels {

// Of what has been allocated and not released.
struct AllocatedBytes {
  std::uint64_t device = 0, pinned = 0;
};

struct SizingOptions {
  FloatType compute_type = FloatType::kF32;
  // Each allocation on the device takes a multiple of these bytes: 256 on CUDA devices.
  std::size_t device_alignment = 1;
};

// What is allocated may be written where a constructor does so by itself, a page at a time; no
// operation that works on rows or activations may be asked for. `allocated` must outlive it.
std::unique_ptr<Backend> make_sizing_backend(const SizingOptions& options,
                                             AllocatedBytes& allocated);

}  // namespace mneme::kernels
