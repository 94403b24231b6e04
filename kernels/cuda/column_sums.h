// Column sums over many rows with a fixed order: rows are cut into chunks, each chunk becomes one
// row of partial sums in scratch memory, and the partial rows are added in the same way.
#pragma once

#include <cstdint>

#include "kernels/cuda/operation.h"
#include "kernels/float_type.h"

namespace mneme::kernels::cuda {

struct ColumnSums {
  const void* x = nullptr;  // [rows, width]
  FloatType type = FloatType::kF32;
  const float* factors = nullptr;  // [rows], or null for 1
  float* out = nullptr;            // [width]
  std::int64_t rows = 0, width = 0;
};

// out[c] += sum over r of factors[r] * x[r, c]. The order of the sum depends on rows and width.
void add_column_sums(Operation& operation, const ColumnSums& sums);

// out[c] += sum over r of partial[r, c], in one kernel, for up to some hundred rows.
void add_partial_rows(Operation& operation, const float* partial, std::int64_t rows,
                      std::int64_t width, float* out);

}  // namespace mneme::kernels::cuda
