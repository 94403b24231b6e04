// One memory layer: product keys choose rows of a value table, the layer sums their values.
// Replaces the feed-forward part of a transformer block. Several layers can share one table.
//
//   q    = x Wq + bq                               query projection                    ProductKeys
//   r, w = the k best rows of each head, softmax   product-key search                  ProductKeys
//   y    = sum over heads and k of w * V[r]                                            ValueTable
//   o    = (y * silu(x W1 + b1)) W2 + b2           gate swilu
//        = y W2 + b2                               gate none, where d_v != C
//        = y                                       gate none, where d_v == C
//   out  = sigmoid(x wg + bg) * o                  with the scalar gate; without it, o
//
// The backward pass and all formulas in full: docs/SPEC.md. The layer owns its activations. The
// model owns the parameters and their gradients, and passes their addresses to every call.
//
// Files of this folder
//   product_keys      query projection, search, and their backward pass; sees no value
//   key_search        the search alone, from queries to rows
//   value_table       reads rows, collects their gradient, runs their optimiser
//   lookup_set        the look-ups of one call, grouped by row
//   row_gradient      the gradient of a step's rows, in factored form
//   row_optimizer     options of the row optimisers
//   catch_up          what brings rows up to the current step
//   record_exchange   values in and out, for export and import
//
// Nothing in this folder knows in which tier a row is, how large the tiers are, or what model the
// layer is part of. No buffer here grows with the table.
#pragma once

#include <cstdint>
#include <memory>

#include "io/enum_names.h"
#include "kernels/backend.h"
#include "memory/lookup_set.h"
#include "memory/product_keys.h"
#include "memory/value_table.h"

namespace mneme::memory {

enum class Gate { kNone, kSwilu };
constexpr auto enum_names(Gate) {
  return std::to_array<io::EnumName<Gate>>({{"none", Gate::kNone}, {"swilu", Gate::kSwilu}});
}

struct MemoryLayerOptions {
  std::int64_t width = 0;         // C
  std::int64_t heads = 4;         // H
  std::int64_t knn = 32;          // k
  std::int64_t half_keys = 1024;  // n
  std::int64_t key_width = 512;   // d_k, both halves together
  std::int64_t value_width = 0;   // d_v; 0 for width
  Gate gate = Gate::kSwilu;
  bool scalar_gate = false;
  QueryKeyNorm query_key_norm = QueryKeyNorm::kNone;
  std::int64_t tokens = 0;                 // N, the most tokens of one call
  std::int32_t layer = offload::kNoLayer;  // index of the block, for the books
};

// Addresses in device memory of the parameters, or of their gradients. Null where the options have
// no such parameter: with gate none there is no gate_in, and value_out only where value_width !=
// width.
struct MemoryLayerParameters {
  float* query_weight = nullptr;        // [H * d_k, C]
  float* query_bias = nullptr;          // [H * d_k]
  float* keys = nullptr;                // [H, 2, n, d_k / 2]
  float* query_norm_gain = nullptr;     // [d_k / 2], with query_key_norm
  float* key_norm_gain = nullptr;       // [d_k / 2], with query_key_norm
  float* gate_in_weight = nullptr;      // [d_v, C]
  float* gate_in_bias = nullptr;        // [d_v]
  float* value_out_weight = nullptr;    // [C, d_v]
  float* value_out_bias = nullptr;      // [C]
  float* scalar_gate_weight = nullptr;  // [1, C]
  float* scalar_gate_bias = nullptr;    // [1]
  // The weights of matrix products once more, in the backend's compute type: copies, or where that
  // is float32, the weights themselves. Null among gradients.
  const void* query_weight_compute = nullptr;
  const void* gate_in_weight_compute = nullptr;
  const void* value_out_weight_compute = nullptr;

  ProductKeyParameters key_side() const {
    return {.query_weight = query_weight,
            .query_weight_compute = query_weight_compute,
            .query_bias = query_bias,
            .keys = keys,
            .query_norm_gain = query_norm_gain,
            .key_norm_gain = key_norm_gain};
  }
};

class MemoryLayer {
 public:
  // Allocates the activations for options.tokens tokens. Throws Error when an option is out of
  // range or does not match the table's (rows, width, look-ups, tokens). Backend and table must
  // outlive the layer.
  MemoryLayer(kernels::Backend& backend, ValueTable& table, const MemoryLayerOptions& options);
  ~MemoryLayer();

  // x: [tokens, C] in the backend's compute type, unchanged until backward() has run. out:
  // [tokens, C], overwritten. Both: device memory. Blocks the caller until the distinct rows are
  // known and their page-in is queued.
  void forward(kernels::Stream& stream, const MemoryLayerParameters& parameters, const void* x,
               std::int64_t tokens, float* out);
  // d_out: [tokens, C], device. d_x: [tokens, C], device, overwritten. Gradients of the parameters
  // are added to `gradients`; that of the rows is handed to the table (keep_gradient). REQUIRES:
  // the last forward() was for the same tokens.
  void backward(kernels::Stream& stream, const MemoryLayerParameters& parameters,
                const MemoryLayerParameters& gradients, const float* d_out, float* d_x);

  // Of the last forward(), device memory. The first three: [tokens, heads, knn]; y: [tokens, d_v].
  const kernels::RowId* rows() const;
  const float* weights() const;
  const float* scores() const;
  const float* y() const;
  const float* queries() const;  // [tokens, heads, d_k], as projected
  // The rows of the last forward(), each once.
  DistinctRows distinct_rows() const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace mneme::memory
