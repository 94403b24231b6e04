// The seam between the model and what its blocks are made of: attention, feed-forward and memory
// layer are parts, and each enters the residual stream in the same way, h <- h + part(norm(h)). A
// new kind of feed-forward is one more class here and one more case where the model is built.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/backend.h"
#include "kernels/convert.h"

namespace mneme::engine {

// One call's shape and place. Scratch is shared by all parts: nothing in it outlives a call.
struct PartCall {
  kernels::Stream& stream;
  std::int64_t batch = 0;
  std::int64_t sequence = 0;
  std::byte* scratch = nullptr;  // device, at least the part's scratch_bytes()
  // Device, [batch, sequence]: the first key that each position attends to, as a position of its
  // sequence; null: 0 for all. Stays as it is until the backward pass is over.
  const std::int32_t* first_keys = nullptr;
  bool training = false;  // else an evaluation, which no backward pass follows
  // Of a backward pass: what the gradients of the micro-batch's losses are multiplied with.
  double loss_scale = 0;

  std::int64_t tokens() const { return batch * sequence; }
};

// Hands out a call's scratch memory in pieces that are aligned for vector loads.
class ScratchPieces {
 public:
  explicit ScratchPieces(std::byte* memory) : next_(memory) {}
  void* take(std::int64_t count, kernels::FloatType type) {
    next_ += bytes(count, type);
    return next_ - bytes(count, type);
  }
  // What take() uses up.
  static std::size_t bytes(std::int64_t count, kernels::FloatType type) {
    constexpr std::size_t kAlignment = 256;
    const std::size_t exact = static_cast<std::size_t>(count) * kernels::float_type_bytes(type);
    return (exact + kAlignment - 1) / kAlignment * kAlignment;
  }

 private:
  std::byte* next_;
};

// x in the backend's compute type: x itself, or a converted copy in scratch memory. x: [tokens of
// the call, width].
inline const void* as_compute_type(kernels::Backend& backend, const PartCall& call, const float* x,
                                   std::int64_t width, ScratchPieces& scratch) {
  const kernels::FloatType type = backend.compute_type();
  if (type == kernels::FloatType::kF32) return x;
  const std::int64_t count = call.tokens() * width;
  return kernels::converted(backend, call.stream, x, count, type, scratch.take(count, type));
}

class BlockPart {
 public:
  virtual ~BlockPart() = default;
  BlockPart() = default;
  BlockPart(const BlockPart&) = delete;
  BlockPart& operator=(const BlockPart&) = delete;

  virtual std::size_t scratch_bytes() const = 0;
  // out += part(x). x: [tokens, C] in the backend's compute type, out: [tokens, C]. x must stay
  // unchanged until backward; what else backward needs is kept by the part.
  virtual void forward(const PartCall& call, const void* x, float* out) = 0;
  // d_x: [tokens, C], overwritten; the gradients of the part's parameters are accumulated.
  // Follows the forward of the same call shape. d_out: [tokens, C], unchanged.
  virtual void backward(const PartCall& call, const float* d_out, float* d_x) = 0;
};

}  // namespace mneme::engine
