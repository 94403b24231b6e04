#include "memory/product_keys.h"

#include <algorithm>

#include "io/check.h"
#include "io/error.h"
#include "kernels/convert.h"

namespace mneme::memory {
namespace {

// Half scores of one block of tokens take at most this many floats, 32 MiB: the search finds them
// in the level 2 cache of a large GPU (50 MiB), where the product has left them. Their memory is
// bound by neither the micro-batch nor the number of half-keys.
constexpr std::int64_t kMaxHalfScores = std::int64_t{1} << 23;
constexpr std::int64_t kMaxKnn = 128;

void check_options(const ProductKeyOptions& options) {
  if (options.width < 1 || options.heads < 1 || options.tokens < 1) {
    io::fail("memory layer: width {}, heads {} and tokens {} must be at least 1", options.width,
             options.heads, options.tokens);
  }
  if (options.key_width < 2 || options.key_width % 2 != 0) {
    io::fail("memory layer: key_width is {}; it must be even and at least 2, one half a side",
             options.key_width);
  }
  if (options.half_keys < 1 || options.half_keys > 65535) {
    io::fail("memory layer: half_keys is {}; it must be between 1 and 65535", options.half_keys);
  }
  const std::int64_t most = std::min(options.half_keys, kMaxKnn);
  if (options.knn < 1 || options.knn > most) {
    io::fail("memory layer: knn is {}; with {} half-keys it must be between 1 and {}", options.knn,
             options.half_keys, most);
  }
}

kernels::NormKind norm_kind(QueryKeyNorm norm) {
  return norm == QueryKeyNorm::kRms ? kernels::NormKind::kRms : kernels::NormKind::kL2;
}

// Added to the mean square, as in the transformer's norms, or to the squared length.
float norm_epsilon(QueryKeyNorm norm) {
  return norm == QueryKeyNorm::kRms ? 1e-5f : 1e-12f;
}

}  // namespace

ProductKeys::ProductKeys(kernels::Backend& backend, const ProductKeyOptions& options)
    : backend_(&backend), options_(options) {
  check_options(options);
  const std::int64_t halves = options.heads * 2;
  const std::int64_t picked = options.tokens * options.heads * options.knn;
  const std::int64_t key_rows = halves * options.half_keys;
  block_tokens_ = std::clamp<std::int64_t>(kMaxHalfScores / key_rows, 1, options.tokens);
  queries_ = {backend, options.tokens * query_width()};
  d_queries_ = {backend, options.tokens * query_width()};
  half_scores_ = {backend, block_tokens_ * key_rows};
  if (backend.compute_type() != kernels::FloatType::kF32) {
    d_queries_compute_ = {backend, options.tokens * query_width(), backend.compute_type()};
  }
  rows_ = {backend, picked};
  scores_ = {backend, picked};
  weights_ = {backend, picked};
  if (options.norm != QueryKeyNorm::kNone) {
    normalised_queries_ = {backend, options.tokens * query_width()};
    d_normalised_queries_ = {backend, options.tokens * query_width()};
    query_inverse_ = {backend, options.tokens * halves};
    normalised_keys_ = {backend, key_rows * half_width()};
    d_normalised_keys_ = {backend, key_rows * half_width()};
    key_inverse_ = {backend, key_rows};
  }
}

const float* ProductKeys::searched_queries() const {
  return options_.norm == QueryKeyNorm::kNone ? queries_.data() : normalised_queries_.data();
}

const float* ProductKeys::searched_keys(const ProductKeyParameters& parameters) const {
  return options_.norm == QueryKeyNorm::kNone ? parameters.keys : normalised_keys_.data();
}

void ProductKeys::forward(kernels::Stream& stream, const ProductKeyParameters& parameters,
                          const void* x, std::int64_t tokens) {
  CHECK(tokens >= 1 && tokens <= options_.tokens, "{} tokens, at most {}", tokens, options_.tokens);
  x_ = x;
  tokens_ = tokens;
  kernels::linear(*backend_, stream, query_shape(), x, parameters.query_weight_compute,
                  {.data = queries_.data()}, parameters.query_bias);
  if (options_.norm != QueryKeyNorm::kNone) {
    kernels::NormArgs norm{.kind = norm_kind(options_.norm),
                           .x = queries_.data(),
                           .gain = parameters.query_norm_gain,
                           .out = normalised_queries_.data(),
                           .inverse = query_inverse_.data(),
                           .rows = tokens * options_.heads * 2,
                           .width = half_width(),
                           .epsilon = norm_epsilon(options_.norm)};
    backend_->norm(stream, norm);
    norm.x = parameters.keys;
    norm.gain = parameters.key_norm_gain;
    norm.out = normalised_keys_.data();
    norm.inverse = key_inverse_.data();
    norm.rows = options_.heads * 2 * options_.half_keys;
    backend_->norm(stream, norm);
  }
  search(stream, searched_keys(parameters));
}

void ProductKeys::search(kernels::Stream& stream, const float* keys) {
  const std::int64_t halves = options_.heads * 2;
  for (std::int64_t first = 0; first < tokens_; first += block_tokens_) {
    const std::int64_t count = std::min(block_tokens_, tokens_ - first);
    const std::int64_t picked = first * options_.heads * options_.knn;
    // One product a head and side: [count, h] times [n, h] transposed.
    backend_->matmul(stream, {.a = searched_queries() + first * query_width(),
                              .b = keys,
                              .c = half_scores_.data(),
                              .m = count,
                              .n = options_.half_keys,
                              .k = half_width(),
                              .lda = query_width(),
                              .ldb = half_width(),
                              .ldc = halves * options_.half_keys,
                              .transpose_b = true,
                              .batch = halves,
                              .stride_a = half_width(),
                              .stride_b = options_.half_keys * half_width(),
                              .stride_c = options_.half_keys});
    backend_->product_keys(stream, {.half_scores = half_scores_.data(),
                                    .rows = rows_.data() + picked,
                                    .scores = scores_.data() + picked,
                                    .weights = weights_.data() + picked,
                                    .tokens = count,
                                    .heads = options_.heads,
                                    .half_keys = options_.half_keys,
                                    .knn = options_.knn});
  }
}

void ProductKeys::backward(kernels::Stream& stream, const ProductKeyParameters& parameters,
                           const ProductKeyParameters& gradients, float* d_weights, float* d_x) {
  CHECK(x_ != nullptr, "backward without a forward");
  const bool normalised = options_.norm != QueryKeyNorm::kNone;
  const std::int64_t key_rows = options_.heads * 2 * options_.half_keys;
  backend_->softmax_backward(stream, {.weights = weights_.data(),
                                      .d_weights = d_weights,
                                      .d_scores = d_weights,
                                      .groups = tokens_ * options_.heads,
                                      .knn = options_.knn});
  if (normalised) {
    backend_->zero(stream, d_normalised_keys_.data(),
                   kernels::DeviceArray<float>::bytes(key_rows * half_width()));
  }
  backend_->half_key_backward(
      stream, {.rows = rows_.data(),
               .d_scores = d_weights,
               .queries = searched_queries(),
               .keys = searched_keys(parameters),
               .d_queries = normalised ? d_normalised_queries_.data() : d_queries_.data(),
               .d_keys = normalised ? d_normalised_keys_.data() : gradients.keys,
               .tokens = tokens_,
               .heads = options_.heads,
               .half_keys = options_.half_keys,
               .half_width = half_width(),
               .knn = options_.knn});
  if (normalised) normalisation_backward(stream, parameters, gradients);
  const void* d_queries =
      kernels::converted(*backend_, stream, d_queries_.data(), tokens_ * query_width(),
                         backend_->compute_type(), d_queries_compute_.data());
  kernels::linear_weight_gradient(*backend_, stream, query_shape(), d_queries, x_,
                                  gradients.query_weight);
  // The bias's gradient is a sum of what has not been rounded.
  backend_->sum_rows(stream, {.x = d_queries_.data(),
                              .out = gradients.query_bias,
                              .rows = tokens_,
                              .width = query_width()});
  kernels::linear_input_gradient(*backend_, stream, query_shape(), d_queries,
                                 parameters.query_weight_compute,
                                 {.data = d_x, .accumulate = true});
}

void ProductKeys::normalisation_backward(kernels::Stream& stream,
                                         const ProductKeyParameters& parameters,
                                         const ProductKeyParameters& gradients) {
  kernels::NormBackwardArgs norm{.kind = norm_kind(options_.norm),
                                 .x = queries_.data(),
                                 .gain = parameters.query_norm_gain,
                                 .inverse = query_inverse_.data(),
                                 .d_out = d_normalised_queries_.data(),
                                 .d_x = d_queries_.data(),
                                 .d_gain = gradients.query_norm_gain,
                                 .rows = tokens_ * options_.heads * 2,
                                 .width = half_width()};
  backend_->norm_backward(stream, norm);
  norm.x = parameters.keys;
  norm.gain = parameters.key_norm_gain;
  norm.inverse = key_inverse_.data();
  norm.d_out = d_normalised_keys_.data();
  norm.d_x = gradients.keys;
  norm.d_gain = gradients.key_norm_gain;
  norm.rows = options_.heads * 2 * options_.half_keys;
  norm.accumulate = true;
  backend_->norm_backward(stream, norm);
}

}  // namespace mneme::memory
