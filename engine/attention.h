// Causal self-attention with rotary embedding and grouped key/value heads: a part of every block.
#pragma once

#include <string>

#include "engine/block_part.h"
#include "engine/model_options.h"

namespace mneme::engine {

class Attention : public BlockPart {
 public:
  // prefix: "layers.N.attention"; parameters prefix + ".wq.weight" and so on.
  Attention(kernels::Backend& backend, const ModelOptions& options, const Parameters& parameters,
            const std::string& prefix);

  std::int64_t scratch_floats() const override;
  void forward(const PartCall& call, const float* x, float* out) override;
  void backward(const PartCall& call, const float* d_out, float* d_x) override;

 private:
  struct Projection {
    float* weight = nullptr;
    float* gradient = nullptr;
  };
  static Projection projection(const Parameters& parameters, const std::string& name);
  void rotate(const PartCall& call, float* x, std::int64_t heads, bool inverse);
  kernels::AttentionArgs attention_args(const PartCall& call) const;

  kernels::Backend& backend_;
  std::int64_t tokens_, width_, kv_width_, heads_, kv_heads_, head_width_;
  float theta_;
  Projection wq_, wk_, wv_, wo_;
  // Kept for backward: q and k after the rotation, v, the heads' output, and the softmax sums.
  kernels::Buffer activations_;
  float* q_;
  float* k_;
  float* v_;
  float* heads_out_;
  float* log_sum_;
  const float* x_ = nullptr;
};

}  // namespace mneme::engine
