// The seam through which others see a model's forward pass in training, block by block, while it is
// being queued.
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "memory/memory_layer.h"

namespace mneme::engine {

class ForwardObserver {
 public:
  virtual ~ForwardObserver() = default;
  // The forward pass of a block's memory layer is queued on the stream; what is queued there now
  // sees its rows.
  virtual void after_memory(std::int64_t block, const memory::MemoryLayer& layer,
                            kernels::Stream& stream) = 0;
  // All blocks' is, and nothing of the backward pass.
  virtual void after_forward(kernels::Stream& stream) = 0;
};

}  // namespace mneme::engine
