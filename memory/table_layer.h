// What layers that read a value table have in common: product keys that choose rows for each token
// and head, and the look-ups grouped by row. What a layer does with the rows is its own: a memory
// layer sums their values (memory_layer.h), a PEER layer runs them as tiny experts (peer_layer.h).
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

struct TableLayerOptions {
  std::int64_t width = 0;         // C
  std::int64_t heads = 4;         // H
  std::int64_t knn = 32;          // k
  std::int64_t half_keys = 1024;  // n
  std::int64_t key_width = 512;   // d_k, both halves together
  std::int64_t value_width = 0;   // d_v; 0 for width
  Gate gate = Gate::kSwilu;       // of memory layers
  bool scalar_gate = false;       // of memory layers
  QueryKeyNorm query_key_norm = QueryKeyNorm::kNone;
  std::int64_t tokens = 0;                 // N, the most tokens of one call
  std::int32_t layer = offload::kNoLayer;  // index of the block, for the books

  std::int64_t lookups() const { return heads * knn; }  // of a token
};

class TableLayer {
 public:
  TableLayer(const TableLayer&) = delete;
  TableLayer& operator=(const TableLayer&) = delete;

  // Of the last forward pass, device memory. The first three: [tokens, heads, knn].
  const kernels::RowId* rows() const { return keys_.rows(); }
  const float* weights() const { return keys_.weights(); }
  const float* scores() const { return keys_.scores(); }
  const float* queries() const { return keys_.queries(); }  // [tokens, heads, d_k], as projected
  // The rows of the last forward pass, each once.
  DistinctRows distinct_rows() const { return lookups_->rows(); }

 protected:
  // Throws Error when an option is out of range or does not match the table's (rows, width,
  // look-ups, tokens). kind: what the layer is called in messages.
  TableLayer(kernels::Backend& backend, ValueTable& table, const TableLayerOptions& options,
             const char* kind);
  ~TableLayer() = default;

  // Of a call of so many tokens.
  std::int64_t outputs(std::int64_t tokens) const { return tokens * width_; }

  kernels::Backend& backend_;
  ValueTable& table_;
  kernels::FloatType type_;  // the backend's compute type
  std::int64_t width_;       // C
  std::int64_t value_width_;
  ProductKeys keys_;
  std::unique_ptr<LookupSet> lookups_;
};

}  // namespace mneme::memory
