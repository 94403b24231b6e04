#include "memory/memory_layer.h"

#include "io/check.h"
#include "io/error.h"
#include "kernels/convert.h"
#include "kernels/device_array.h"
#include "kernels/linear.h"
#include "memory/lookup_set.h"
#include "memory/product_keys.h"

namespace mneme::memory {
namespace {

MemoryLayerOptions checked_layer(MemoryLayerOptions options, const ValueTable& table) {
  if (options.value_width == 0) options.value_width = options.width;
  const ValueTableOptions& values = table.options();
  if (options.value_width != values.width) {
    io::fail("memory layer: value_width is {} but the value table's is {}; they must be equal",
             options.value_width, values.width);
  }
  const auto wanted_rows = static_cast<std::uint64_t>(options.half_keys * options.half_keys);
  if (wanted_rows != values.rows) {
    io::fail("memory layer: {} half-keys select from {} rows but the value table has {}",
             options.half_keys, wanted_rows, values.rows);
  }
  if (options.heads * options.knn != values.lookups_per_token) {
    io::fail("memory layer: {} heads times {} rows is not the value table's {} lookups a token",
             options.heads, options.knn, values.lookups_per_token);
  }
  if (options.tokens > values.tokens_per_call) {
    io::fail("memory layer: {} tokens a call, but the value table is made for {}", options.tokens,
             values.tokens_per_call);
  }
  return options;
}

ProductKeyOptions key_options(const MemoryLayerOptions& options) {
  return {.width = options.width,
          .search = {.heads = options.heads,
                     .knn = options.knn,
                     .half_keys = options.half_keys,
                     .key_width = options.key_width,
                     .norm = options.query_key_norm,
                     .tokens = options.tokens}};
}

}  // namespace

class MemoryLayer::Implementation {
 public:
  Implementation(kernels::Backend& backend, ValueTable& table, const MemoryLayerOptions& options)
      : backend_(backend),
        table_(table),
        options_(checked_layer(options, table)),
        type_(backend.compute_type()),
        keys_(backend, key_options(options_)),
        lookups_(table.make_lookup_set(options.layer)) {
    const std::int64_t values = options_.tokens * options_.value_width;
    const std::int64_t outputs = options_.tokens * options_.width;
    y_ = {backend, values};
    d_y_ = {backend, values};
    d_weights_ = {backend, options_.tokens * options_.heads * options_.knn};
    if (swilu()) {
      gate_ = {backend, values, type_};
      gated_ = {backend, values, type_};
      d_gate_ = {backend, values, type_};
    }
    if (type_ != kernels::FloatType::kF32 && projects()) {
      if (!swilu()) y_compute_ = {backend, values, type_};
      d_out_compute_ = {backend, outputs, type_};
    }
    if (options_.scalar_gate) {
      rho_ = {backend, options_.tokens};
      ungated_ = {backend, outputs};
      d_ungated_ = {backend, outputs};
    }
  }

  void forward(kernels::Stream& stream, const MemoryLayerParameters& parameters, const void* x,
               std::int64_t tokens, float* out) {
    x_ = x;
    tokens_ = tokens;
    keys_.forward(stream, parameters.key_side(), x, tokens);
    table_.group(stream, keys_.rows(), tokens, *lookups_);
    if (swilu()) {
      // In front of the gather, which waits for rows that come meanwhile.
      kernels::linear(backend_, stream, gate_shape(), x, parameters.gate_in_weight_compute,
                      {gate_.data(), type_}, parameters.gate_in_bias);
    }
    table_.gather(stream, *lookups_, keys_.weights(), y_.data());
    if (swilu()) {
      backend_.gated_silu(stream, {.type = type_,
                                   .gate = gate_.data(),
                                   .value = y_.data(),
                                   .out = gated_.data(),
                                   .count = tokens * options_.value_width});
    }
    float* before_scalar_gate = options_.scalar_gate ? ungated_.data() : out;
    if (projects()) {
      projected_ =
          swilu() ? gated_.data()
                  : kernels::converted(backend_, stream, y_.data(), tokens * options_.value_width,
                                       type_, y_compute_.data());
      kernels::linear(backend_, stream, output_shape(), projected_,
                      parameters.value_out_weight_compute, {.data = before_scalar_gate},
                      parameters.value_out_bias);
    } else {
      backend_.copy(stream, before_scalar_gate, y_.data(),
                    kernels::DeviceArray<float>::bytes(tokens * options_.width));
    }
    if (options_.scalar_gate) backend_.scalar_gate(stream, scalar_gate_args(parameters, out));
  }

  void backward(kernels::Stream& stream, const MemoryLayerParameters& parameters,
                const MemoryLayerParameters& gradients, const float* d_out, float* d_x) {
    CHECK(x_ != nullptr, "backward without a forward");
    backend_.zero(stream, d_x, kernels::DeviceArray<float>::bytes(tokens_ * options_.width));
    if (options_.scalar_gate) {
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

  const ProductKeys& keys() const { return keys_; }
  const float* y() const { return y_.data(); }
  DistinctRows distinct_rows() const { return lookups_->rows(); }

 private:
  // The linear maps of the layer, for the tokens of the last forward.
  kernels::LinearShape gate_shape() const {
    return {.rows = tokens_, .in = options_.width, .out = options_.value_width};
  }
  kernels::LinearShape output_shape() const {
    return {.rows = tokens_, .in = options_.value_width, .out = options_.width};
  }

  bool swilu() const { return options_.gate == Gate::kSwilu; }
  bool projects() const { return swilu() || options_.value_width != options_.width; }

  kernels::ScalarGateArgs scalar_gate_args(const MemoryLayerParameters& parameters, float* out) {
    return {.x = x_,
            .x_type = type_,
            .weight = parameters.scalar_gate_weight,
            .bias = parameters.scalar_gate_bias,
            .value = ungated_.data(),
            .out = out,
            .rho = rho_.data(),
            .tokens = tokens_,
            .width = options_.width,
            .value_width = options_.width};
  }

  // Fills d_y from the gradient of the output before the scalar gate; adds to d_x.
  void value_backward(kernels::Stream& stream, const MemoryLayerParameters& parameters,
                      const MemoryLayerParameters& gradients, const float* d_out, float* d_x) {
    if (!projects()) {
      backend_.copy(stream, d_y_.data(), d_out,
                    kernels::DeviceArray<float>::bytes(tokens_ * options_.width));
      return;
    }
    const void* d_projected = kernels::converted(backend_, stream, d_out, tokens_ * options_.width,
                                                 type_, d_out_compute_.data());
    kernels::linear_weight_gradient(backend_, stream, output_shape(), d_projected, projected_,
                                    gradients.value_out_weight, gradients.value_out_bias);
    const kernels::LinearResult d_value = swilu() ? kernels::LinearResult{d_gate_.data(), type_}
                                                  : kernels::LinearResult{.data = d_y_.data()};
    kernels::linear_input_gradient(backend_, stream, output_shape(), d_projected,
                                   parameters.value_out_weight_compute, d_value);
    if (!swilu()) return;
    backend_.gated_silu_backward(stream, {.type = type_,
                                          .gate = gate_.data(),
                                          .value = y_.data(),
                                          .d_out = d_gate_.data(),
                                          .d_gate = d_gate_.data(),
                                          .d_value = d_y_.data(),
                                          .count = tokens_ * options_.value_width});
    kernels::linear_weight_gradient(backend_, stream, gate_shape(), d_gate_.data(), x_,
                                    gradients.gate_in_weight, gradients.gate_in_bias);
    kernels::linear_input_gradient(backend_, stream, gate_shape(), d_gate_.data(),
                                   parameters.gate_in_weight_compute,
                                   {.data = d_x, .accumulate = true});
  }

  kernels::Backend& backend_;
  ValueTable& table_;
  MemoryLayerOptions options_;
  kernels::FloatType type_;  // the backend's compute type
  ProductKeys keys_;
  std::unique_ptr<LookupSet> lookups_;

  kernels::DeviceArray<float> y_;          // [N, d_v]
  kernels::DeviceArray<float> d_y_;        // [N, d_v]
  kernels::DeviceArray<float> d_weights_;  // [N, H, k]
  kernels::FloatArray gate_;               // [N, d_v]: g, with swilu
  kernels::FloatArray gated_;              // [N, d_v]: y * silu(g), with swilu
  kernels::FloatArray d_gate_;             // [N, d_v], with swilu
  kernels::FloatArray y_compute_;      // [N, d_v]: what is projected without swilu, if not y itself
  kernels::FloatArray d_out_compute_;  // [N, C], where the compute type is not float32
  kernels::DeviceArray<float> rho_;    // [N], with the scalar gate
  kernels::DeviceArray<float> ungated_;    // [N, C]: o before the scalar gate
  kernels::DeviceArray<float> d_ungated_;  // [N, C]

  const void* x_ = nullptr;          // of the last forward
  const void* projected_ = nullptr;  // of the last forward: what value_out was applied to
  std::int64_t tokens_ = 0;          // of the last forward
};

MemoryLayer::MemoryLayer(kernels::Backend& backend, ValueTable& table,
                         const MemoryLayerOptions& options)
    : implementation_(std::make_unique<Implementation>(backend, table, options)) {}
MemoryLayer::~MemoryLayer() = default;

void MemoryLayer::forward(kernels::Stream& stream, const MemoryLayerParameters& parameters,
                          const void* x, std::int64_t tokens, float* out) {
  implementation_->forward(stream, parameters, x, tokens, out);
}

void MemoryLayer::backward(kernels::Stream& stream, const MemoryLayerParameters& parameters,
                           const MemoryLayerParameters& gradients, const float* d_out, float* d_x) {
  implementation_->backward(stream, parameters, gradients, d_out, d_x);
}

const kernels::RowId* MemoryLayer::rows() const {
  return implementation_->keys().rows();
}
const float* MemoryLayer::weights() const {
  return implementation_->keys().weights();
}
const float* MemoryLayer::scores() const {
  return implementation_->keys().scores();
}
const float* MemoryLayer::queries() const {
  return implementation_->keys().queries();
}
const float* MemoryLayer::y() const {
  return implementation_->y();
}
DistinctRows MemoryLayer::distinct_rows() const {
  return implementation_->distinct_rows();
}

}  // namespace mneme::memory
