// The key side of a memory layer: query projection, optional normalisation of queries and
// half-keys, half scores, the k best rows per head and their weights; and all of it backward.
// Formulas: SPEC.md, Forward 1-3 and Backward 4. It never sees a value.
#pragma once

#include <cstdint>

#include "io/enum_names.h"
#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "kernels/linear.h"

namespace mneme::memory {

enum class QueryKeyNorm { kNone, kRms, kL2 };
constexpr auto enum_names(QueryKeyNorm) {
  return std::to_array<io::EnumName<QueryKeyNorm>>(
      {{"none", QueryKeyNorm::kNone}, {"rms", QueryKeyNorm::kRms}, {"l2", QueryKeyNorm::kL2}});
}

struct ProductKeyOptions {
  std::int64_t width = 0;      // C
  std::int64_t heads = 0;      // H
  std::int64_t knn = 0;        // k
  std::int64_t half_keys = 0;  // n
  std::int64_t key_width = 0;  // d_k, both halves
  QueryKeyNorm norm = QueryKeyNorm::kNone;
  std::int64_t tokens = 0;  // N, the most tokens of one call
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

  // Of the last forward, device memory: [tokens, H, k].
  const kernels::RowId* rows() const { return rows_.data(); }
  const float* scores() const { return scores_.data(); }
  const float* weights() const { return weights_.data(); }

 private:
  void search(kernels::Stream& stream, const float* keys);
  void normalisation_backward(kernels::Stream& stream, const ProductKeyParameters& parameters,
                              const ProductKeyParameters& gradients);
  // Queries and half-keys as the search compares them: normalised where the options say so.
  const float* searched_queries() const;
  const float* searched_keys(const ProductKeyParameters& parameters) const;
  // The projection of the last forward's tokens to queries.
  kernels::LinearShape query_shape() const {
    return {.rows = tokens_, .in = options_.width, .out = query_width()};
  }
  std::int64_t query_width() const { return options_.heads * options_.key_width; }
  std::int64_t half_width() const { return options_.key_width / 2; }

  kernels::Backend* backend_;
  ProductKeyOptions options_;
  std::int64_t block_tokens_ = 0;  // tokens whose half scores exist at one time

  kernels::DeviceArray<float> queries_;               // [N, H, 2, h], as projected
  kernels::DeviceArray<float> normalised_queries_;    // [N, H, 2, h], with norm
  kernels::DeviceArray<float> query_inverse_;         // [N * H * 2], with norm
  kernels::DeviceArray<float> normalised_keys_;       // [H, 2, n, h], with norm
  kernels::DeviceArray<float> key_inverse_;           // [H * 2 * n], with norm
  kernels::DeviceArray<float> half_scores_;           // [block_tokens_, H, 2, n]
  kernels::DeviceArray<kernels::RowId> rows_;         // [N, H, k]
  kernels::DeviceArray<float> scores_;                // [N, H, k]
  kernels::DeviceArray<float> weights_;               // [N, H, k]
  kernels::DeviceArray<float> d_queries_;             // [N, H, 2, h]
  kernels::DeviceArray<float> d_normalised_queries_;  // [N, H, 2, h], with norm
  kernels::DeviceArray<float> d_normalised_keys_;     // [H, 2, n, h], with norm
  kernels::FloatArray d_queries_compute_;  // [N, H, 2, h], where the compute type is not float32

  const void* x_ = nullptr;  // of the last forward
  std::int64_t tokens_ = 0;  // of the last forward
};

}  // namespace mneme::memory
