#include "engine/feed_forward.h"

#include "io/check.h"
#include "kernels/linear.h"

namespace mneme::engine {

FeedForward::FeedForward(kernels::Backend& backend, const ModelOptions& options,
                         const Parameters& parameters, const std::string& prefix)
    : backend_(backend),
      tokens_(options.tokens()),
      width_(options.width),
      hidden_(options.feed_forward_hidden),
      type_(backend.compute_type()),
      w1_(parameters.weight(prefix + ".w1.weight")),
      w2_(parameters.weight(prefix + ".w2.weight")),
      w3_(parameters.weight(prefix + ".w3.weight")),
      d_w1_(parameters.gradient(prefix + ".w1.weight")),
      d_w2_(parameters.gradient(prefix + ".w2.weight")),
      d_w3_(parameters.gradient(prefix + ".w3.weight")),
      gate_(backend, tokens_ * hidden_, type_),
      value_(backend, tokens_ * hidden_, type_),
      product_(backend, tokens_ * hidden_, type_) {}

std::size_t FeedForward::scratch_bytes() const {
  return 2 * ScratchPieces::bytes(tokens_ * hidden_, type_) +
         ScratchPieces::bytes(tokens_ * width_, type_);
}

void FeedForward::forward(const PartCall& call, const void* x, float* out) {
  CHECK(call.tokens() <= tokens_, "{} tokens, room for {}", call.tokens(), tokens_);
  x_ = x;
  const kernels::LinearShape up{call.tokens(), width_, hidden_};
  const kernels::LinearShape down{call.tokens(), hidden_, width_};
  linear(backend_, call.stream, up, x, w1_, {gate_.data(), type_});
  linear(backend_, call.stream, up, x, w3_, {value_.data(), type_});
  backend_.gated_silu(call.stream, {.type = type_,
                                    .value_type = type_,
                                    .gate = gate_.data(),
                                    .value = value_.data(),
                                    .out = product_.data(),
                                    .count = call.tokens() * hidden_});
  linear(backend_, call.stream, down, product_.data(), w2_, {.data = out, .accumulate = true});
}

void FeedForward::backward(const PartCall& call, const float* d_out, float* d_x) {
  const kernels::LinearShape up{call.tokens(), width_, hidden_};
  const kernels::LinearShape down{call.tokens(), hidden_, width_};
  ScratchPieces scratch(call.scratch);
  // First the product's gradient, then in its place the gate's.
  void* d_gate = scratch.take(tokens_ * hidden_, type_);
  void* d_value = scratch.take(tokens_ * hidden_, type_);
  const void* d_y = as_compute_type(backend_, call, d_out, width_, scratch);

  linear_weight_gradient(backend_, call.stream, down, d_y, product_.data(), d_w2_);
  linear_input_gradient(backend_, call.stream, down, d_y, w2_, {d_gate, type_});
  backend_.gated_silu_backward(call.stream, {.type = type_,
                                             .value_type = type_,
                                             .gate = gate_.data(),
                                             .value = value_.data(),
                                             .d_out = d_gate,
                                             .d_gate = d_gate,
                                             .d_value = d_value,
                                             .count = call.tokens() * hidden_});
  linear_weight_gradient(backend_, call.stream, up, d_gate, x_, d_w1_);
  linear_weight_gradient(backend_, call.stream, up, d_value, x_, d_w3_);
  linear_input_gradient(backend_, call.stream, up, d_gate, w1_, {.data = d_x});
  linear_input_gradient(backend_, call.stream, up, d_value, w3_, {.data = d_x, .accumulate = true});
}

}  // namespace mneme::engine
