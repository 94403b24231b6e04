// The gated feed-forward W2(silu(W1 x) * W3 x): a part of every block without a memory layer.
#pragma once

#include <string>

#include "engine/block_part.h"
#include "engine/model_options.h"
#include "kernels/device_array.h"

namespace mneme::engine {

class FeedForward : public BlockPart {
 public:
  // prefix: "layers.N.feed_forward"; parameters prefix + ".w1.weight" and so on.
  FeedForward(kernels::Backend& backend, const ModelOptions& options, const Parameters& parameters,
              const std::string& prefix);

  std::size_t scratch_bytes() const override;
  void forward(const PartCall& call, const void* x, float* out) override;
  void backward(const PartCall& call, const float* d_out, float* d_x) override;

 private:
  kernels::Backend& backend_;
  std::int64_t tokens_, width_, hidden_;
  kernels::FloatType type_;  // of activations
  const void *w1_, *w2_, *w3_;
  float *d_w1_, *d_w2_, *d_w3_;
  // Kept for backward: W1 x, W3 x and their gated product, [tokens, hidden] each.
  kernels::FloatArray gate_, value_, product_;
  const void* x_ = nullptr;
};

}  // namespace mneme::engine
