// The key side of a memory layer: query projection and search (key_search.h), and both backward.
// Formulas: SPEC.md, Forward 1-3 and Backward 4. It never sees a value.
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "kernels/linear.h"
#include "memory/key_search.h"

namespace mneme::memory {

struct ProductKeyOptions {
  std::int64_t width = 0;  // C
  KeySearchOptions search;
};

// Device pointers, of parameters or of their gradients.
struct ProductKeyParameters {
  float* query_weight = nullptr;  // [H * d_k, C]
  // A copy of query_weight in the backend's compute type; null for gradients.
  const void* query_weight_compute = nullptr;
  float* query_bias = nullptr;       // [H * d_k]
  float* keys = nullptr;             // [H, 2, n, d_k / 2]
  float* query_norm_gain = nullptr;  // [d_k / 2], null without norm
  float* key_norm_gain = nullptr;    // [d_k / 2], null without norm

  SearchKeys search_keys() const {
    return {.keys = keys, .query_norm_gain = query_norm_gain, .key_norm_gain = key_norm_gain};
  }
};

// What finds a memory layer's rows in the residual stream: the norm in front of it, and its keys.
struct KeySide {
  const float* norm_gain = nullptr;  // device, [C]
  ProductKeyParameters keys;
};

class ProductKeys {
 public:
  // Allocates every buffer. Throws Error when a size is out of range.
  ProductKeys(kernels::Backend& backend, const ProductKeyOptions& options);

  // Fills rows(), scores() and weights(). x: [tokens, C] in the backend's compute type, unchanged
  // until backward. Queries and scores are float32 whatever the compute type.
  void forward(kernels::Stream& stream, const ProductKeyParameters& parameters, const void* x,
               std::int64_t tokens);
  // d_weights: [tokens, H, k], overwritten with the score gradients. d_x: [tokens, C],
  // accumulated; parameter gradients accumulated. Follows the forward of the same tokens.
  void backward(kernels::Stream& stream, const ProductKeyParameters& parameters,
                const ProductKeyParameters& gradients, float* d_weights, float* d_x);

  // Of the last forward, device memory. The first three: [tokens, H, k].
  const kernels::RowId* rows() const { return search_.rows(); }
  const float* scores() const { return search_.scores(); }
  const float* weights() const { return search_.weights(); }
  const float* queries() const { return queries_.data(); }  // [tokens, H, 2, d_k / 2], as projected

 private:
  void normalisation_backward(kernels::Stream& stream, const ProductKeyParameters& parameters,
                              const ProductKeyParameters& gradients);
  bool normalises() const { return options_.search.norm != QueryKeyNorm::kNone; }
  // The projection of the last forward's tokens to queries.
  kernels::LinearShape query_shape() const {
    return {.rows = tokens_, .in = options_.width, .out = options_.search.query_width()};
  }

  kernels::Backend* backend_;
  ProductKeyOptions options_;
  KeySearch search_;
  kernels::DeviceArray<float> queries_;               // [N, H, 2, h], as projected
  kernels::DeviceArray<float> d_queries_;             // [N, H, 2, h]
  kernels::DeviceArray<float> d_normalised_queries_;  // [N, H, 2, h], with norm
  kernels::DeviceArray<float> d_normalised_keys_;     // [H, 2, n, h], with norm
  kernels::FloatArray d_queries_compute_;  // [N, H, 2, h], where the compute type is not float32

  const void* x_ = nullptr;  // of the last forward
  std::int64_t tokens_ = 0;  // of the last forward
};

}  // namespace mneme::memory
