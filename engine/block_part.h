// The seam between the model and what its blocks are made of: attention, feed-forward and memory
// layer are parts, and each enters the residual stream in the same way, h <- h + part(norm(h)). A
// new kind of feed-forward is one more class here and one more case where the model is built.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace mneme::engine {

// One call's shape and place. Scratch is shared by all parts: nothing in it outlives a call.
struct PartCall {
  kernels::Stream& stream;
  std::int64_t batch = 0;
  std::int64_t sequence = 0;
  float* scratch = nullptr;  // device, at least the part's scratch_floats()

  std::int64_t tokens() const { return batch * sequence; }
};

class BlockPart {
 public:
  virtual ~BlockPart() = default;
  BlockPart() = default;
  BlockPart(const BlockPart&) = delete;
  BlockPart& operator=(const BlockPart&) = delete;

  virtual std::int64_t scratch_floats() const = 0;
  // out += part(x). x, out: [tokens, C]. x must stay unchanged until backward; what else backward
  // needs is kept by the part.
  virtual void forward(const PartCall& call, const float* x, float* out) = 0;
  // d_x: [tokens, C], overwritten; the gradients of the part's parameters are accumulated.
  // Follows the forward of the same call shape. d_out: [tokens, C], unchanged.
  virtual void backward(const PartCall& call, const float* d_out, float* d_x) = 0;
};

}  // namespace mneme::engine
