// Causal self-attention with rotary embedding and grouped key/value heads: a part of every block.
#pragma once

#include <string>

#include "engine/block_part.h"
#include "engine/model_options.h"
#include "kernels/device_array.h"

namespace mneme::engine {

class Attention : public BlockPart {
 public:
  // prefix: "layers.N.attention"; parameters prefix + ".wq.weight" and so on.
  Attention(kernels::Backend& backend, const ModelOptions& options, const Parameters& parameters,
            const std::string& prefix);

  std::size_t scratch_bytes() const override;
  void forward(const PartCall& call, const void* x, float* out) override;
  void backward(const PartCall& call, const float* d_out, float* d_x) override;

 private:
  struct Projection {
    const void* weight = nullptr;
    float* gradient = nullptr;
  };
  static Projection projection(const Parameters& parameters, const std::string& name);
  void rotate(const PartCall& call, void* x, std::int64_t heads, bool inverse);
  kernels::AttentionArgs attention_args(const PartCall& call) const;

  kernels::Backend& backend_;
  std::int64_t tokens_, width_, kv_width_, heads_, kv_heads_, head_width_;
  kernels::FloatType type_;  // of activations
  float theta_;
  Projection wq_, wk_, wv_, wo_;
  // Kept for backward: q and k after the rotation, v, the heads' output, and the softmax sums.
  kernels::FloatArray q_, k_, v_, heads_out_;
  kernels::DeviceArray<float> log_sum_;
  const void* x_ = nullptr;
};

}  // namespace mneme::engine
