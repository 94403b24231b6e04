#include "memory/memory_layer.h"

#include "io/check.h"
#include "kernels/convert.h"

namespace mneme::memory {

MemoryLayer::MemoryLayer(kernels::Backend& backend, ValueTable& table,
                         const TableLayerOptions& options)
    : TableLayer(backend, table, options, "memory layer"),
      gate_(options.gate),
      scalar_gate_(options.scalar_gate) {
  const std::int64_t values = options.tokens * value_width_;
  y_ = {backend, values};
  d_y_ = {backend, values};
  d_weights_ = {backend, options.tokens * options.lookups()};
  if (swilu()) {
    gate_in_ = {backend, values, type_};
    gated_ = {backend, values, type_};
    d_gate_ = {backend, values, type_};
  }
  if (type_ != kernels::FloatType::kF32 && projects()) {
    if (!swilu()) y_compute_ = {backend, values, type_};
    d_out_compute_ = {backend, outputs(options.tokens), type_};
  }
  if (scalar_gate_) {
    rho_ = {backend, options.tokens};
    ungated_ = {backend, outputs(options.tokens)};
    d_ungated_ = {backend, outputs(options.tokens)};
  }
}

void MemoryLayer::forward(kernels::Stream& stream, const MemoryLayerParameters& parameters,
                          const void* x, std::int64_t tokens, float* out) {
  x_ = x;
  tokens_ = tokens;
  keys_.forward(stream, parameters.key_side(), x, tokens);
  table_.group(stream, keys_.rows(), tokens, *lookups_);
  if (swilu()) {
    // In front of the gather, which waits for rows that come meanwhile.
    kernels::linear(backend_, stream, gate_shape(), x, parameters.gate_in_weight_compute,
                    {gate_in_.data(), type_}, parameters.gate_in_bias);
  }
  table_.gather(stream, *lookups_, keys_.weights(), y_.data());
  if (swilu()) {
    backend_.gated_silu(stream, {.type = type_,
                                 .gate = gate_in_.data(),
                                 .value = y_.data(),
                                 .out = gated_.data(),
                                 .count = tokens * value_width_});
  }
  float* before_scalar_gate = scalar_gate_ ? ungated_.data() : out;
  if (projects()) {
    projected_ = swilu() ? gated_.data()
                         : kernels::converted(backend_, stream, y_.data(), tokens * value_width_,
                                              type_, y_compute_.data());
    kernels::linear(backend_, stream, output_shape(), projected_,
                    parameters.value_out_weight_compute, {.data = before_scalar_gate},
                    parameters.value_out_bias);
  } else {
    backend_.copy(stream, before_scalar_gate, y_.data(),
                  kernels::DeviceArray<float>::bytes(outputs(tokens)));
  }
  if (scalar_gate_) backend_.scalar_gate(stream, scalar_gate_args(parameters, out));
}

void MemoryLayer::backward(kernels::Stream& stream, const MemoryLayerParameters& parameters,
                           const MemoryLayerParameters& gradients, const float* d_out, float* d_x) {
  CHECK(x_ != nullptr, "backward without a forward");
  backend_.zero(stream, d_x, kernels::DeviceArray<float>::bytes(outputs(tokens_)));
  if (scalar_gate_) {
    backend_.scalar_gate_backward(stream, {.forward = scalar_gate_args(parameters, nullptr),
                                           .d_out = d_out,
                                           .d_value = d_ungated_.data(),
                                           .d_x = d_x,
                                           .d_weight = gradients.scalar_gate_weight,
                                           .d_bias = gradients.scalar_gate_bias});
    d_out = d_ungated_.data();
  }
  value_backward(stream, parameters, gradients, d_out, d_x);
  table_.dot(stream, *lookups_, d_y_.data(), d_weights_.data());
  table_.keep_gradient(stream, *lookups_, keys_.weights(), d_y_.data());
  keys_.backward(stream, parameters.key_side(), gradients.key_side(), d_weights_.data(), d_x);
}

kernels::ScalarGateArgs MemoryLayer::scalar_gate_args(const MemoryLayerParameters& parameters,
                                                      float* out) {
  return {.x = x_,
          .x_type = type_,
          .weight = parameters.scalar_gate_weight,
          .bias = parameters.scalar_gate_bias,
          .value = ungated_.data(),
          .out = out,
          .rho = rho_.data(),
          .tokens = tokens_,
          .width = width_,
          .value_width = width_};
}

void MemoryLayer::value_backward(kernels::Stream& stream, const MemoryLayerParameters& parameters,
                                 const MemoryLayerParameters& gradients, const float* d_out,
                                 float* d_x) {
  if (!projects()) {
    backend_.copy(stream, d_y_.data(), d_out, kernels::DeviceArray<float>::bytes(outputs(tokens_)));
    return;
  }
  const void* d_projected =
      kernels::converted(backend_, stream, d_out, tokens_ * width_, type_, d_out_compute_.data());
  kernels::linear_weight_gradient(backend_, stream, output_shape(), d_projected, projected_,
                                  gradients.value_out_weight, gradients.value_out_bias);
  const kernels::LinearResult d_value = swilu() ? kernels::LinearResult{d_gate_.data(), type_}
                                                : kernels::LinearResult{.data = d_y_.data()};
  kernels::linear_input_gradient(backend_, stream, output_shape(), d_projected,
                                 parameters.value_out_weight_compute, d_value);
  if (!swilu()) return;
  backend_.gated_silu_backward(stream, {.type = type_,
                                        .gate = gate_in_.data(),
                                        .value = y_.data(),
                                        .d_out = d_gate_.data(),
                                        .d_gate = d_gate_.data(),
                                        .d_value = d_y_.data(),
                                        .count = tokens_ * value_width_});
  kernels::linear_weight_gradient(backend_, stream, gate_shape(), d_gate_.data(), x_,
                                  gradients.gate_in_weight, gradients.gate_in_bias);
  kernels::linear_input_gradient(backend_, stream, gate_shape(), d_gate_.data(),
                                 parameters.gate_in_weight_compute,
                                 {.data = d_x, .accumulate = true});
}

}  // namespace mneme::memory
