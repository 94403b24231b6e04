#include "engine/attention.h"

#include <cmath>

#include "io/check.h"
#include "kernels/linear.h"

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
      type_(backend.compute_type()),
      theta_(static_cast<float>(options.rope_theta)),
      wq_(projection(parameters, prefix + ".wq.weight")),
      wk_(projection(parameters, prefix + ".wk.weight")),
      wv_(projection(parameters, prefix + ".wv.weight")),
      wo_(projection(parameters, prefix + ".wo.weight")),
      q_(backend, tokens_ * width_, type_),
      k_(backend, tokens_ * kv_width_, type_),
      v_(backend, tokens_ * kv_width_, type_),
      heads_out_(backend, tokens_ * width_, type_),
      log_sum_(backend, tokens_ * heads_) {}

Attention::Projection Attention::projection(const Parameters& parameters, const std::string& name) {
  return {parameters.weight(name), parameters.gradient(name)};
}

std::size_t Attention::scratch_bytes() const {
  const std::size_t own = type_ == kernels::FloatType::kF32 ? 2 : 3;
  return own * ScratchPieces::bytes(tokens_ * width_, type_) +
         2 * ScratchPieces::bytes(tokens_ * kv_width_, type_);
}

void Attention::rotate(const PartCall& call, void* x, std::int64_t heads, bool inverse) {
  backend_.rotary(call.stream, {.x = x,
                                .type = type_,
                                .batch = call.batch,
                                .sequence = call.sequence,
                                .heads = heads,
                                .head_width = head_width_,
                                .stride = heads * head_width_,
                                .theta = theta_,
                                .inverse = inverse});
}

kernels::AttentionArgs Attention::attention_args(const PartCall& call) const {
  return {.type = type_,
          .q = q_.data(),
          .k = k_.data(),
          .v = v_.data(),
          .out = heads_out_.data(),
          .log_sum = log_sum_.data(),
          .batch = call.batch,
          .sequence = call.sequence,
          .heads = heads_,
          .kv_heads = kv_heads_,
          .head_width = head_width_,
          .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_width_))),
          .first_keys = call.first_keys};
}

void Attention::forward(const PartCall& call, const void* x, float* out) {
  CHECK(call.tokens() <= tokens_, "{} tokens, room for {}", call.tokens(), tokens_);
  x_ = x;
  const kernels::LinearShape wide{call.tokens(), width_, width_};
  const kernels::LinearShape narrow{call.tokens(), width_, kv_width_};
  linear(backend_, call.stream, wide, x, wq_.weight, {q_.data(), type_});
  linear(backend_, call.stream, narrow, x, wk_.weight, {k_.data(), type_});
  linear(backend_, call.stream, narrow, x, wv_.weight, {v_.data(), type_});
  rotate(call, q_.data(), heads_, false);
  rotate(call, k_.data(), kv_heads_, false);
  backend_.attention(call.stream, attention_args(call));
  linear(backend_, call.stream, wide, heads_out_.data(), wo_.weight,
         {.data = out, .accumulate = true});
}

void Attention::backward(const PartCall& call, const float* d_out, float* d_x) {
  const kernels::LinearShape wide{call.tokens(), width_, width_};
  const kernels::LinearShape narrow{call.tokens(), width_, kv_width_};
  ScratchPieces scratch(call.scratch);
  void* d_heads_out = scratch.take(tokens_ * width_, type_);
  void* d_q = scratch.take(tokens_ * width_, type_);
  void* d_k = scratch.take(tokens_ * kv_width_, type_);
  void* d_v = scratch.take(tokens_ * kv_width_, type_);
  const void* d_y = as_compute_type(backend_, call, d_out, width_, scratch);

  linear_weight_gradient(backend_, call.stream, wide, d_y, heads_out_.data(), wo_.gradient);
  linear_input_gradient(backend_, call.stream, wide, d_y, wo_.weight, {d_heads_out, type_});
  backend_.attention_backward(
      call.stream,
      {.forward = attention_args(call), .d_out = d_heads_out, .d_q = d_q, .d_k = d_k, .d_v = d_v});
  rotate(call, d_q, heads_, true);
  rotate(call, d_k, kv_heads_, true);
  linear_weight_gradient(backend_, call.stream, wide, d_q, x_, wq_.gradient);
  linear_weight_gradient(backend_, call.stream, narrow, d_k, x_, wk_.gradient);
  linear_weight_gradient(backend_, call.stream, narrow, d_v, x_, wv_.gradient);
  linear_input_gradient(backend_, call.stream, wide, d_q, wq_.weight, {.data = d_x});
  linear_input_gradient(backend_, call.stream, narrow, d_k, wk_.weight,
                        {.data = d_x, .accumulate = true});
  linear_input_gradient(backend_, call.stream, narrow, d_v, wv_.weight,
                        {.data = d_x, .accumulate = true});
}

}  // namespace mneme::engine
