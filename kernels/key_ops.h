// Product-key search and its backward: the second part of the Backend interface.
#pragma once

#include <cstdint>

#include "kernels/memory.h"

namespace mneme::kernels {

using RowId = std::uint32_t;   // a row of one value table; tables have at most 2^32 - 2 rows
using SlotId = std::uint32_t;  // a place in the device tier
inline constexpr SlotId kNoSlot = 0xffffffffu;

// Top-k of both halves, candidate pairs, top-k of the pairs, softmax.
// Order: higher score first, ties by lower row id. REQUIRES 1 <= knn <= half_keys, knn <= 128.
struct ProductKeyArgs {
  const float* half_scores = nullptr;  // [tokens, heads, 2, half_keys]
  RowId* rows = nullptr;               // [tokens, heads, knn]: first_half * half_keys + second_half
  float* scores = nullptr;             // [tokens, heads, knn], or null
  float* weights = nullptr;            // [tokens, heads, knn]: softmax per head
  std::int64_t tokens = 0, heads = 0, half_keys = 0, knn = 0;
};

// d_scores[j] = w_j (d_w_j - sum_i w_i d_w_i) per (token, head).
struct SoftmaxBackwardArgs {
  const float* weights = nullptr;    // [tokens * heads, knn]
  const float* d_weights = nullptr;  // [tokens * heads, knn]
  float* d_scores = nullptr;         // [tokens * heads, knn]; may be d_weights
  std::int64_t groups = 0, knn = 0;
};

// From the score gradients to queries and half-keys, touching only the selected half-keys:
// d_q[t,h,c] = sum_j d_s[j] keys[h,c,half_c(r_j)];  d_keys[h,c,i] += sum_t d_s[j] q[t,h,c].
struct HalfKeyBackwardArgs {
  const RowId* rows = nullptr;      // [tokens, heads, knn]
  const float* d_scores = nullptr;  // [tokens, heads, knn]
  const float* queries = nullptr;   // [tokens, heads, 2, half_width]
  const float* keys = nullptr;      // [heads, 2, half_keys, half_width]
  float* d_queries = nullptr;       // [tokens, heads, 2, half_width], overwritten
  float* d_keys = nullptr;          // [heads, 2, half_keys, half_width], accumulated
  std::int64_t tokens = 0, heads = 0, half_keys = 0, half_width = 0, knn = 0;
};

class KeyOps {
 public:
  virtual ~KeyOps() = default;
  virtual void product_keys(Stream& stream, const ProductKeyArgs& args) = 0;
  virtual void softmax_backward(Stream& stream, const SoftmaxBackwardArgs& args) = 0;
  virtual void half_key_backward(Stream& stream, const HalfKeyBackwardArgs& args) = 0;
};

}  // namespace mneme::kernels
