#include "engine/feed_forward.h"

#include "engine/linear.h"
#include "io/check.h"

namespace mneme::engine {

FeedForward::FeedForward(kernels::Backend& backend, const ModelOptions& options,
                         const Parameters& parameters, const std::string& prefix)
    : backend_(backend),
      tokens_(options.tokens()),
      width_(options.width),
      hidden_(options.feed_forward_hidden),
      w1_(parameters.value(prefix + ".w1.weight")),
      w2_(parameters.value(prefix + ".w2.weight")),
      w3_(parameters.value(prefix + ".w3.weight")),
      d_w1_(parameters.gradient(prefix + ".w1.weight")),
      d_w2_(parameters.gradient(prefix + ".w2.weight")),
      d_w3_(parameters.gradient(prefix + ".w3.weight")) {
  const std::int64_t floats = tokens_ * hidden_ * 3;
  activations_ = backend.allocate(static_cast<std::size_t>(floats) * sizeof(float),
                                  kernels::MemoryKind::kDevice);
  gate_ = activations_.as<float>();
  value_ = gate_ + tokens_ * hidden_;
  product_ = value_ + tokens_ * hidden_;
}

std::int64_t FeedForward::scratch_floats() const {
  return tokens_ * hidden_ * 2;
}

void FeedForward::forward(const PartCall& call, const float* x, float* out) {
  CHECK(call.tokens() <= tokens_, "{} tokens, room for {}", call.tokens(), tokens_);
  x_ = x;
  const LinearShape up{call.tokens(), width_, hidden_};
  const LinearShape down{call.tokens(), hidden_, width_};
  linear(backend_, call.stream, up, x, w1_, gate_, false);
  linear(backend_, call.stream, up, x, w3_, value_, false);
  backend_.gated_silu(
      call.stream,
      {.gate = gate_, .value = value_, .out = product_, .count = call.tokens() * hidden_});
  linear(backend_, call.stream, down, product_, w2_, out, true);
}

void FeedForward::backward(const PartCall& call, const float* d_out, float* d_x) {
  const LinearShape up{call.tokens(), width_, hidden_};
  const LinearShape down{call.tokens(), hidden_, width_};
  float* d_gate = call.scratch;  // first the product's gradient, then in its place the gate's
  float* d_value = d_gate + tokens_ * hidden_;

  linear_weight_gradient(backend_, call.stream, down, d_out, product_, d_w2_);
  linear_input_gradient(backend_, call.stream, down, d_out, w2_, d_gate, false);
  backend_.gated_silu_backward(call.stream, {.gate = gate_,
                                             .value = value_,
                                             .d_out = d_gate,
                                             .d_gate = d_gate,
                                             .d_value = d_value,
                                             .count = call.tokens() * hidden_});
  linear_weight_gradient(backend_, call.stream, up, d_gate, x_, d_w1_);
  linear_weight_gradient(backend_, call.stream, up, d_value, x_, d_w3_);
  linear_input_gradient(backend_, call.stream, up, d_gate, w1_, d_x, false);
  linear_input_gradient(backend_, call.stream, up, d_value, w3_, d_x, true);
}

}  // namespace mneme::engine
