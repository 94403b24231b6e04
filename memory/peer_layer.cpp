#include "memory/peer_layer.h"

#include "io/check.h"
#include "io/error.h"

namespace mneme::memory {

PeerLayer::PeerLayer(kernels::Backend& backend, ValueTable& table, const TableLayerOptions& options)
    : TableLayer(backend, table, options, "PEER layer") {
  if (value_width_ != width_) {
    io::fail("PEER layer: value_width is {} but width is {}; an expert reads and writes the stream",
             value_width_, width_);
  }
  if (table.options().parts != 2) {
    io::fail("PEER layer: the value table's rows have {} part; experts have 2",
             table.options().parts);
  }
  const std::int64_t lookups = options.tokens * options.lookups();
  if (type_ != kernels::FloatType::kF32) wide_x_ = {backend, outputs(options.tokens)};
  for (auto* array : {&dots_, &factors_, &d_factors_, &d_weights_, &d_dots_}) {
    *array = {backend, lookups};
  }
}

void PeerLayer::forward(kernels::Stream& stream, const ProductKeyParameters& parameters,
                        const void* x, std::int64_t tokens, float* out) {
  tokens_ = tokens;
  keys_.forward(stream, parameters, x, tokens);
  table_.group(stream, keys_.rows(), tokens, *lookups_);
  x_ = static_cast<const float*>(x);
  if (type_ != kernels::FloatType::kF32) {
    backend_.convert(
        stream,
        {.source = x, .target = wide_x_.data(), .source_type = type_, .count = outputs(tokens)});
    x_ = wide_x_.data();
  }
  table_.run_experts(stream, *lookups_, x_, experts(), out);
}

void PeerLayer::backward(kernels::Stream& stream, const ProductKeyParameters& parameters,
                         const ProductKeyParameters& gradients, const float* d_out, float* d_x) {
  CHECK(x_ != nullptr, "backward without a forward");
  backend_.zero(stream, d_x, kernels::DeviceArray<float>::bytes(outputs(tokens_)));
  table_.run_experts_backward(stream, *lookups_, experts(),
                              {.d_y = d_out,
                               .d_factors = d_factors_.data(),
                               .d_weights = d_weights_.data(),
                               .d_dots = d_dots_.data(),
                               .d_x = d_x});
  // u = part 0, v = part 1.
  table_.keep_gradient(stream, *lookups_,
                       FactoredParts{{{d_dots_.data(), x_}, {factors_.data(), d_out}}});
  keys_.backward(stream, parameters, gradients, d_weights_.data(), d_x);
}

}  // namespace mneme::memory
