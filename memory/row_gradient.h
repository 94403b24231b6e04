// The factored row gradient of one step, or of some of its calls: for each call (a layer in a
// micro-batch) the rows it looked up, their weights, and the gradient of its output in the
// backend's compute type. Row r's gradient is the sum of weight * d_y over all lookups of r, calls
// in the order they were kept, as if their tokens had been concatenated. Its size is tokens x
// columns, never rows x columns.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "memory/lookup_set.h"

namespace mneme::memory {

struct RowGradientShape {
  std::int64_t tokens = 0;  // the most that are kept: calls * tokens of a call
  std::int64_t lookups_per_token = 0;
  kernels::ColumnRange columns;  // of d_y
  std::uint64_t table_rows = 0;  // rows are below this
};

class StepGradient {
 public:
  // Allocates every buffer; memory costs nothing until the first step fills it.
  StepGradient(kernels::Backend& backend, const RowGradientShape& shape);
  // Of the buffers for a token, and of what grouping takes beside them, with d_y in float32.
  static std::uint64_t bytes_per_token(std::int64_t lookups_per_token, std::int64_t columns);

  // Forgets what was kept.
  void clear();
  // Copies one call's part. weights: [set.lookups()], d_y: [set.tokens(), columns], float32.
  void keep(kernels::Stream& stream, const LookupSet& set, const float* weights, const float* d_y);
  // Queues the grouping of all that was kept. REQUIRES: tokens() > 0.
  void group(kernels::Stream& stream);

  std::int64_t tokens() const { return tokens_; }
  // Whether so many more tokens could not be kept.
  bool is_full_for(std::int64_t tokens) const { return tokens_ + tokens > shape_.tokens; }
  // After group().
  DistinctRows rows() const { return lookups_.rows(); }
  // What the row operations take. After group().
  kernels::RowGradient gradient() const;
  // The gradient as a dense [rows, columns] array, summed in double. For tests: small tables.
  std::vector<float> dense(kernels::Stream& stream, std::uint64_t rows) const;

 private:
  std::int64_t width() const { return shape_.columns.count; }

  kernels::Backend* backend_;
  RowGradientShape shape_;
  LookupSet lookups_;
  kernels::DeviceArray<kernels::RowId> rows_;  // [tokens * lookups_per_token]
  kernels::DeviceArray<float> weights_;        // [tokens * lookups_per_token]
  kernels::FloatType type_;                    // of d_y_
  kernels::FloatArray d_y_;                    // [tokens, columns]
  std::int64_t tokens_ = 0;
};

}  // namespace mneme::memory
