// The factored row gradient of one step, or of some of its calls: for each call (a layer in a
// micro-batch) the rows it looked up and, for each part of a row, a factor for each look-up and a
// vector for each token, in the backend's compute type. Of a memory layer's value these are the
// weights and the gradient of the output. Row r's gradient is the sum of factor * vector over all
// lookups of r, calls in the order they were kept, as if their tokens had been concatenated. Its
// size is tokens x columns, never rows x columns.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "memory/lookup_set.h"

namespace mneme::memory {

struct RowGradientShape {
  std::int64_t tokens = 0;  // the most that are kept: calls * tokens of a call
  std::int64_t lookups_per_token = 0;
  kernels::ColumnRange columns;  // of the vectors
  int parts = 1;                 // of a row
  std::uint64_t table_rows = 0;  // rows are below this
};

// A call's share of the gradient of one part of the rows. Device memory.
struct FactoredPart {
  const float* factors = nullptr;  // [tokens, lookups_per_token]; null: no gradient
  const float* vectors = nullptr;  // [tokens, columns]
};
using FactoredParts = std::array<FactoredPart, kernels::kMaxRowParts>;

class StepGradient {
 public:
  // Allocates every buffer; memory costs nothing until the first step fills it.
  StepGradient(kernels::Backend& backend, const RowGradientShape& shape);
  // Of the buffers for a token, and of what grouping takes beside them, with vectors in float32.
  static std::uint64_t bytes_per_token(std::int64_t lookups_per_token, std::int64_t columns,
                                       int parts);

  // Forgets what was kept.
  void clear();
  // Copies one call's share, of as many parts as rows have.
  void keep(kernels::Stream& stream, const LookupSet& set, const FactoredParts& parts);
  // Queues the grouping of all that was kept. REQUIRES: tokens() > 0.
  void group(kernels::Stream& stream);

  std::int64_t tokens() const { return tokens_; }
  // Whether so many more tokens could not be kept.
  bool is_full_for(std::int64_t tokens) const { return tokens_ + tokens > shape_.tokens; }
  // After group().
  DistinctRows rows() const { return lookups_.rows(); }
  // What the row operations take. After group().
  kernels::RowGradient gradient() const;
  // The gradient as a dense [rows, parts, columns] array, summed in double. For tests: small
  // tables.
  std::vector<float> dense(kernels::Stream& stream, std::uint64_t rows) const;

 private:
  // The buffers of one part.
  struct Kept {
    kernels::DeviceArray<float> factors;  // [tokens * lookups_per_token]
    kernels::FloatArray vectors;          // [tokens, columns]
  };
  std::int64_t width() const { return shape_.columns.count; }
  void keep_part(kernels::Stream& stream, const LookupSet& set, const FactoredPart& part,
                 const Kept& kept);

  kernels::Backend* backend_;
  RowGradientShape shape_;
  LookupSet lookups_;
  kernels::DeviceArray<kernels::RowId> rows_;  // [tokens * lookups_per_token]
  kernels::FloatType type_;                    // of vectors
  std::vector<Kept> parts_;
  std::int64_t tokens_ = 0;
};

}  // namespace mneme::memory
