#include "offload/planner/residency.h"

#include <algorithm>

namespace mneme::offload {

Residency::Residency(kernels::Backend& backend, std::uint64_t rows)
    : rows_(rows), locations_(backend, static_cast<std::int64_t>(rows)) {}

std::vector<kernels::RowId> Residency::touched(kernels::Backend& backend,
                                               kernels::Stream& stream) const {
  constexpr std::uint64_t kBatch = std::uint64_t{1} << 20;
  const auto copy = kernels::pinned_array<kernels::Location>(
      backend, static_cast<std::int64_t>(std::min(kBatch, rows_)));
  std::vector<kernels::RowId> rows;
  for (std::uint64_t first = 0; first < rows_; first += kBatch) {
    const std::uint64_t count = std::min(kBatch, rows_ - first);
    backend.copy(stream, copy.data(), locations() + first, count * sizeof(kernels::Location));
    stream.synchronize();
    for (std::uint64_t i = 0; i < count; ++i) {
      if (kernels::place_of(copy[i]) == kernels::Place::kUntouched) continue;
      rows.push_back(static_cast<kernels::RowId>(first + i));
    }
  }
  return rows;
}

}  // namespace mneme::offload
