// What a configuration costs, computed from the lists and sizes that the model and its table are
// made from: parameters, bytes, floating-point operations. Allocates nothing and needs no device,
// so that a table of 137 billion parameters takes as long as a small one.
#pragma once

#include <cstdint>

#include "engine/config.h"
#include "engine/prefetch/predictor_options.h"
#include "offload/tier_sizes.h"

namespace mneme::engine {

// Of the model, without the rows of the value table.
struct ParameterCounts {
  std::int64_t embedding = 0;  // with tied_output the output head as well
  std::int64_t attention = 0;
  std::int64_t feed_forward = 0;
  std::int64_t experts = 0;  // of mixtures
  std::int64_t routers = 0;  // of mixtures
  std::int64_t half_keys = 0;
  std::int64_t memory_projections = 0;  // queries, gates, output of memory layers
  std::int64_t norms = 0;
  std::int64_t output = 0;
  std::int64_t total() const;
};

// Floating-point operations of one token, a multiplication and an addition each counted, averaged
// over a sequence. Products and weighted sums count; norms, activations, softmax, the choice of the
// best keys and the optimisers do not.
struct TokenFlops {
  std::int64_t weights = 0;    // products with weight matrices, the output head included
  std::int64_t attention = 0;  // queries with keys, weights with values; half of them are masked
  std::int64_t keys = 0;       // queries with half-keys: all of them forward, the chosen backward
  std::int64_t rows = 0;       // weighted sums of rows, their gradients by weight and by value;
                               // of PEER's experts products with u and v, and their gradients
  std::int64_t total() const { return weights + attention + keys + rows; }
};

struct TableCosts {
  std::uint64_t rows = 0;
  std::int64_t width = 0;
  int parts = 1;                             // of a row: PEER's have two
  std::uint64_t parameters = 0;              // rows x parts x width
  std::uint64_t record_bytes = 0;            // of a row in host memory: value, moments, step
  std::uint64_t bytes = 0;                   // of all rows as records; untouched ones take none
  std::uint64_t device_slot_bytes = 0;       // of a row in the device tier, bookkeeping included
  std::uint64_t lookups_per_token = 0;       // rows read for a token, all layers
  std::uint64_t parts_per_token = 0;         // of them that are read: PEER layers read both
  std::uint64_t gather_bytes_per_token = 0;  // of their values, forward; once more backward
  offload::TierSizes tiers;
  // Device memory of the row gradient in factored form, beside the tiers, at most.
  std::uint64_t gradient_bytes = 0;
  bool accumulates_gradient = false;     // in the rows, which are larger then
  std::uint64_t rows_beyond_memory = 0;  // that neither device nor host have room for
};

struct ModelCosts {
  ParameterCounts parameters;
  TableCosts table;  // zeros without a memory
  // Read for one token: the dense parameters with one row of the embedding (all of it where it is
  // the output head) and one expert of each mixture, and the rows looked up.
  std::int64_t active_parameters = 0;
  // Of the device, float32 with the padding that buffers have.
  std::int64_t weight_bytes = 0;
  std::int64_t gradient_bytes = 0;
  std::int64_t moment_bytes = 0;
  PrefetchMemory prefetch;
  TokenFlops forward;
  TokenFlops backward;
  std::int64_t tokens_per_step = 0;
};

// REQUIRES a configuration that check_config accepts.
ModelCosts model_costs(const Config& config);

}  // namespace mneme::engine
