// The search half of a memory layer's key side: from queries to the k best rows of each head and
// their weights. Formulas: SPEC.md, Forward 2-3. It needs no backward half, so that whoever only
// wants to know which rows a query would find (prediction/) allocates none.
#pragma once

#include <cstdint>

#include "io/enum_names.h"
#include "kernels/backend.h"
#include "kernels/device_array.h"

namespace mneme::memory {

enum class QueryKeyNorm { kNone, kRms, kL2 };
constexpr auto enum_names(QueryKeyNorm) {
  return std::to_array<io::EnumName<QueryKeyNorm>>(
      {{"none", QueryKeyNorm::kNone}, {"rms", QueryKeyNorm::kRms}, {"l2", QueryKeyNorm::kL2}});
}
kernels::NormKind norm_kind(QueryKeyNorm norm);

struct KeySearchOptions {
  std::int64_t heads = 0;      // H
  std::int64_t knn = 0;        // k
  std::int64_t half_keys = 0;  // n
  std::int64_t key_width = 0;  // d_k, both halves
  QueryKeyNorm norm = QueryKeyNorm::kNone;
  std::int64_t tokens = 0;  // N, the most tokens of one call

  std::int64_t query_width() const { return heads * key_width; }
  std::int64_t half_width() const { return key_width / 2; }
  std::int64_t key_rows() const { return heads * 2 * half_keys; }
  std::int64_t lookups() const { return heads * knn; }  // of a token
};

// Device pointers.
struct SearchKeys {
  const float* keys = nullptr;             // [H, 2, n, d_k / 2]
  const float* query_norm_gain = nullptr;  // [d_k / 2], null without norm
  const float* key_norm_gain = nullptr;    // [d_k / 2], null without norm
};

class KeySearch {
 public:
  // Allocates every buffer. Throws Error when a size is out of range.
  KeySearch(kernels::Backend& backend, const KeySearchOptions& options);

  // Of the buffers.
  static std::uint64_t device_bytes(const KeySearchOptions& options);

  // Fills rows(), scores() and weights(). queries: device, [tokens, H, 2, d_k / 2], as projected.
  void search(kernels::Stream& stream, const float* queries, const SearchKeys& keys,
              std::int64_t tokens);

  // Of the last search, device memory: [tokens, H, k].
  const kernels::RowId* rows() const { return rows_.data(); }
  const float* scores() const { return scores_.data(); }
  const float* weights() const { return weights_.data(); }

  // What was compared: the arguments of the last search, normalised where the options say so.
  const float* searched_queries() const { return searched_queries_; }
  const float* searched_keys() const { return searched_keys_; }
  // The factors of the normalisation.
  float* query_inverse() const { return query_inverse_.data(); }  // [tokens * H * 2]
  float* key_inverse() const { return key_inverse_.data(); }      // [H * 2 * n]

 private:
  void normalise(kernels::Stream& stream, const SearchKeys& keys, std::int64_t tokens);

  kernels::Backend* backend_;
  KeySearchOptions options_;
  std::int64_t block_tokens_ = 0;  // tokens whose half scores exist at one time

  kernels::DeviceArray<float> normalised_queries_;  // [N, H, 2, h], with norm
  kernels::DeviceArray<float> query_inverse_;       // [N * H * 2], with norm
  kernels::DeviceArray<float> normalised_keys_;     // [H, 2, n, h], with norm
  kernels::DeviceArray<float> key_inverse_;         // [H * 2 * n], with norm
  kernels::DeviceArray<float> half_scores_;         // [block_tokens_, H, 2, n]
  kernels::DeviceArray<kernels::RowId> rows_;       // [N, H, k]
  kernels::DeviceArray<float> scores_;              // [N, H, k]
  kernels::DeviceArray<float> weights_;             // [N, H, k]

  const float* searched_queries_ = nullptr;
  const float* searched_keys_ = nullptr;
};

}  // namespace mneme::memory
