#include "memory/product_keys.h"

#include "io/check.h"
#include "io/error.h"
#include "kernels/convert.h"

namespace mneme::memory {

ProductKeys::ProductKeys(kernels::Backend& backend, const ProductKeyOptions& options)
    : backend_(&backend), options_(options), search_(backend, options.search) {
  if (options.width < 1) {
    io::fail("memory layer: width {} must be at least 1", options.width);
  }
  const std::int64_t queries = options.search.tokens * options.search.query_width();
  queries_ = {backend, queries};
  d_queries_ = {backend, queries};
  if (backend.compute_type() != kernels::FloatType::kF32) {
    d_queries_compute_ = {backend, queries, backend.compute_type()};
  }
  if (normalises()) {
    d_normalised_queries_ = {backend, queries};
    d_normalised_keys_ = {backend, options.search.key_rows() * options.search.half_width()};
  }
}

void ProductKeys::forward(kernels::Stream& stream, const ProductKeyParameters& parameters,
                          const void* x, std::int64_t tokens) {
  CHECK(tokens >= 1 && tokens <= options_.search.tokens, "{} tokens, at most {}", tokens,
        options_.search.tokens);
  x_ = x;
  tokens_ = tokens;
  kernels::linear(*backend_, stream, query_shape(), x, parameters.query_weight_compute,
                  {.data = queries_.data()}, parameters.query_bias);
  search_.search(stream, queries_.data(), parameters.search_keys(), tokens);
}

void ProductKeys::backward(kernels::Stream& stream, const ProductKeyParameters& parameters,
                           const ProductKeyParameters& gradients, float* d_weights, float* d_x) {
  CHECK(x_ != nullptr, "backward without a forward");
  const KeySearchOptions& search = options_.search;
  backend_->softmax_backward(stream, {.weights = search_.weights(),
                                      .d_weights = d_weights,
                                      .d_scores = d_weights,
                                      .groups = tokens_ * search.heads,
                                      .knn = search.knn});
  if (normalises()) {
    backend_->zero(stream, d_normalised_keys_.data(),
                   kernels::DeviceArray<float>::bytes(search.key_rows() * search.half_width()));
  }
  backend_->half_key_backward(
      stream, {.rows = search_.rows(),
               .d_scores = d_weights,
               .queries = search_.searched_queries(),
               .keys = search_.searched_keys(),
               .d_queries = normalises() ? d_normalised_queries_.data() : d_queries_.data(),
               .d_keys = normalises() ? d_normalised_keys_.data() : gradients.keys,
               .tokens = tokens_,
               .heads = search.heads,
               .half_keys = search.half_keys,
               .half_width = search.half_width(),
               .knn = search.knn});
  if (normalises()) normalisation_backward(stream, parameters, gradients);
  const void* d_queries =
      kernels::converted(*backend_, stream, d_queries_.data(), tokens_ * search.query_width(),
                         backend_->compute_type(), d_queries_compute_.data());
  kernels::linear_weight_gradient(*backend_, stream, query_shape(), d_queries, x_,
                                  gradients.query_weight);
  // The bias's gradient is a sum of what has not been rounded.
  backend_->sum_rows(stream, {.x = d_queries_.data(),
                              .out = gradients.query_bias,
                              .rows = tokens_,
                              .width = search.query_width()});
  kernels::linear_input_gradient(*backend_, stream, query_shape(), d_queries,
                                 parameters.query_weight_compute,
                                 {.data = d_x, .accumulate = true});
}

void ProductKeys::normalisation_backward(kernels::Stream& stream,
                                         const ProductKeyParameters& parameters,
                                         const ProductKeyParameters& gradients) {
  const KeySearchOptions& search = options_.search;
  kernels::NormBackwardArgs norm{.kind = norm_kind(search.norm),
                                 .x = queries_.data(),
                                 .gain = parameters.query_norm_gain,
                                 .inverse = search_.query_inverse(),
                                 .d_out = d_normalised_queries_.data(),
                                 .d_x = d_queries_.data(),
                                 .d_gain = gradients.query_norm_gain,
                                 .rows = tokens_ * search.heads * 2,
                                 .width = search.half_width()};
  backend_->norm_backward(stream, norm);
  norm.x = parameters.keys;
  norm.gain = parameters.key_norm_gain;
  norm.inverse = search_.key_inverse();
  norm.d_out = d_normalised_keys_.data();
  norm.d_x = gradients.keys;
  norm.d_gain = gradients.key_norm_gain;
  norm.rows = search.key_rows();
  norm.accumulate = true;
  backend_->norm_backward(stream, norm);
}

}  // namespace mneme::memory
