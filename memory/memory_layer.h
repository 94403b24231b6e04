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
//   table_layer       what this layer and PEER's have in common
//   peer_layer        rows as tiny experts
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

#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "kernels/linear.h"
#include "memory/product_keys.h"
#include "memory/table_layer.h"

namespace mneme::memory {

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

class MemoryLayer : public TableLayer {
 public:
  // Allocates the activations for options.tokens tokens. Throws Error when an option is out of
  // range or does not match the table's (rows, width, look-ups, tokens). Backend and table must
  // outlive the layer.
  MemoryLayer(kernels::Backend& backend, ValueTable& table, const TableLayerOptions& options);

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

  const float* y() const { return y_.data(); }  // [tokens, d_v], of the last forward

 private:
  bool swilu() const { return gate_ == Gate::kSwilu; }
  bool projects() const { return swilu() || value_width_ != width_; }
  // The linear maps of the layer, for the tokens of the last forward.
  kernels::LinearShape gate_shape() const {
    return {.rows = tokens_, .in = width_, .out = value_width_};
  }
  kernels::LinearShape output_shape() const {
    return {.rows = tokens_, .in = value_width_, .out = width_};
  }
  kernels::ScalarGateArgs scalar_gate_args(const MemoryLayerParameters& parameters, float* out);
  // Fills d_y from the gradient of the output before the scalar gate; adds to d_x.
  void value_backward(kernels::Stream& stream, const MemoryLayerParameters& parameters,
                      const MemoryLayerParameters& gradients, const float* d_out, float* d_x);

  Gate gate_;
  bool scalar_gate_;
  kernels::DeviceArray<float> y_;          // [N, d_v]
  kernels::DeviceArray<float> d_y_;        // [N, d_v]
  kernels::DeviceArray<float> d_weights_;  // [N, H, k]
  kernels::FloatArray gate_in_;            // [N, d_v]: g, with swilu
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

}  // namespace mneme::memory
