// One memory layer: product keys over a shared value table, optional swilu gate, scalar gate and
// query/key normalisation. Forward and backward as in SPEC.md. The layer owns its activations and
// views its parameters and their gradients, which the model owns in one flat range.
//
// The folder: product_keys picks rows and weights; value_table reads the rows, keeps the step's
// factored gradient (row_gradient) and takes the row optimiser's step (row_optimizer, catch_up);
// record_exchange carries values in and out for export and import. Nothing here knows in which tier
// a row lives, how large the tiers are, or what the model around the layer looks like; nothing here
// is as large as the table.
#pragma once

#include <cstdint>
#include <memory>

#include "io/enum_names.h"
#include "kernels/backend.h"
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
  std::int64_t key_width = 512;   // d_k, both halves
  std::int64_t value_width = 0;   // d_v
  Gate gate = Gate::kSwilu;
  bool scalar_gate = false;
  QueryKeyNorm query_key_norm = QueryKeyNorm::kNone;
  std::int64_t tokens = 0;  // N, the most tokens of one call
};

// Device pointers; null where the options have no such parameter. With gate none, value_out is
// present only when value_width != width. Used for parameters and, alike, for their gradients,
// which have no copies.
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
  // Copies of the weights of matrix products in the backend's compute type; the weights themselves
  // where that is float32.
  const void* query_weight_compute = nullptr;
  const void* gate_in_weight_compute = nullptr;
  const void* value_out_weight_compute = nullptr;
};

class MemoryLayer {
 public:
  // Allocates every buffer for options.tokens. Throws Error when an option is out of range or does
  // not fit the table. Backend and table must outlive the layer.
  MemoryLayer(kernels::Backend& backend, ValueTable& table, const MemoryLayerOptions& options);
  ~MemoryLayer();

  // x: [tokens, C] in the backend's compute type -> out: [tokens, C], overwritten. x must stay
  // unchanged until backward.
  void forward(kernels::Stream& stream, const MemoryLayerParameters& parameters, const void* x,
               std::int64_t tokens, float* out);
  // d_out: [tokens, C] -> d_x: [tokens, C], overwritten; parameter gradients accumulated; the row
  // gradient is kept in the table. Follows the forward of the same tokens.
  void backward(kernels::Stream& stream, const MemoryLayerParameters& parameters,
                const MemoryLayerParameters& gradients, const float* d_out, float* d_x);

  // Of the last forward, device memory: [tokens, heads, knn], and y [tokens, d_v].
  const kernels::RowId* rows() const;
  const float* weights() const;
  const float* scores() const;
  const float* y() const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace mneme::memory
