#include "engine/attention.h"

#include <cmath>

#include "engine/linear.h"
#include "io/check.h"

namespace mneme::engine {

Attention::Attention(kernels::Backend& backend, const ModelOptions& options,
                     const Parameters& parameters, const std::string& prefix)
    : backend_(backend),
      tokens_(options.tokens()),
      width_(options.width),
      kv_width_(options.kv_width()),
      heads_(options.attention_heads),
      kv_heads_(options.kv_heads),
      head_width_(options.head_width()),
      theta_(static_cast<float>(options.rope_theta)),
      wq_(projection(parameters, prefix + ".wq.weight")),
      wk_(projection(parameters, prefix + ".wk.weight")),
      wv_(projection(parameters, prefix + ".wv.weight")),
      wo_(projection(parameters, prefix + ".wo.weight")) {
  const std::int64_t floats = tokens_ * (2 * width_ + 2 * kv_width_ + heads_);
  activations_ = backend.allocate(static_cast<std::size_t>(floats) * sizeof(float),
                                  kernels::MemoryKind::kDevice);
  q_ = activations_.as<float>();
  heads_out_ = q_ + tokens_ * width_;
  k_ = heads_out_ + tokens_ * width_;
  v_ = k_ + tokens_ * kv_width_;
  log_sum_ = v_ + tokens_ * kv_width_;
}

Attention::Projection Attention::projection(const Parameters& parameters, const std::string& name) {
  return {parameters.value(name), parameters.gradient(name)};
}

std::int64_t Attention::scratch_floats() const {
  return tokens_ * (2 * width_ + 2 * kv_width_);
}

void Attention::rotate(const PartCall& call, float* x, std::int64_t heads, bool inverse) {
  backend_.rotary(call.stream, {.x = x,
                                .batch = call.batch,
                                .sequence = call.sequence,
                                .heads = heads,
                                .head_width = head_width_,
                                .stride = heads * head_width_,
                                .theta = theta_,
                                .inverse = inverse});
}

kernels::AttentionArgs Attention::attention_args(const PartCall& call) const {
  return {.q = q_,
          .k = k_,
          .v = v_,
          .out = heads_out_,
          .log_sum = log_sum_,
          .batch = call.batch,
          .sequence = call.sequence,
          .heads = heads_,
          .kv_heads = kv_heads_,
          .head_width = head_width_,
          .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_width_)))};
}

void Attention::forward(const PartCall& call, const float* x, float* out) {
  CHECK(call.tokens() <= tokens_, "{} tokens, room for {}", call.tokens(), tokens_);
  x_ = x;
  const LinearShape wide{call.tokens(), width_, width_};
  const LinearShape narrow{call.tokens(), width_, kv_width_};
  linear(backend_, call.stream, wide, x, wq_.weight, q_, false);
  linear(backend_, call.stream, narrow, x, wk_.weight, k_, false);
  linear(backend_, call.stream, narrow, x, wv_.weight, v_, false);
  rotate(call, q_, heads_, false);
  rotate(call, k_, kv_heads_, false);
  backend_.attention(call.stream, attention_args(call));
  linear(backend_, call.stream, wide, heads_out_, wo_.weight, out, true);
}

void Attention::backward(const PartCall& call, const float* d_out, float* d_x) {
  const LinearShape wide{call.tokens(), width_, width_};
  const LinearShape narrow{call.tokens(), width_, kv_width_};
  float* d_heads_out = call.scratch;
  float* d_q = d_heads_out + tokens_ * width_;
  float* d_k = d_q + tokens_ * width_;
  float* d_v = d_k + tokens_ * kv_width_;

  linear_weight_gradient(backend_, call.stream, wide, d_out, heads_out_, wo_.gradient);
  linear_input_gradient(backend_, call.stream, wide, d_out, wo_.weight, d_heads_out, false);
  backend_.attention_backward(
      call.stream,
      {.forward = attention_args(call), .d_out = d_heads_out, .d_q = d_q, .d_k = d_k, .d_v = d_v});
  rotate(call, d_q, heads_, true);
  rotate(call, d_k, kv_heads_, true);
  linear_weight_gradient(backend_, call.stream, wide, d_q, x_, wq_.gradient);
  linear_weight_gradient(backend_, call.stream, narrow, d_k, x_, wk_.gradient);
  linear_weight_gradient(backend_, call.stream, narrow, d_v, x_, wv_.gradient);
  linear_input_gradient(backend_, call.stream, wide, d_q, wq_.weight, d_x, false);
  linear_input_gradient(backend_, call.stream, narrow, d_k, wk_.weight, d_x, true);
  linear_input_gradient(backend_, call.stream, narrow, d_v, wv_.weight, d_x, true);
}

}  // namespace mneme::engine
