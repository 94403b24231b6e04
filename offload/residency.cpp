#include "offload/residency.h"

#include <algorithm>

namespace mneme::offload {

Residency::Residency(kernels::Backend& backend, std::uint64_t rows)
    : rows_(rows),
      locations_(backend.allocate(static_cast<std::size_t>(rows) * sizeof(kernels::Location),
                                  kernels::MemoryKind::kDevice)),
      disk_(rows) {}

std::vector<kernels::RowId> Residency::touched(kernels::Backend& backend,
                                               kernels::Stream& stream) const {
  constexpr std::uint64_t kBatch = std::uint64_t{1} << 20;
  const auto bytes = [](std::uint64_t count) {
    return static_cast<std::size_t>(count) * sizeof(kernels::Location);
  };
  const kernels::Buffer copy =
      backend.allocate(bytes(std::min(kBatch, rows_)), kernels::MemoryKind::kPinnedHost);
  std::vector<kernels::RowId> rows;
  for (std::uint64_t first = 0; first < rows_; first += kBatch) {
    const std::uint64_t count = std::min(kBatch, rows_ - first);
    backend.copy(stream, copy.as<void>(), locations() + first, bytes(count));
    stream.synchronize();
    const auto* found = copy.as<kernels::Location>();
    for (std::uint64_t i = 0; i < count; ++i) {
      if (kernels::place_of(found[i]) == kernels::Place::kUntouched) continue;
      rows.push_back(static_cast<kernels::RowId>(first + i));
    }
  }
  return rows;
}

}  // namespace mneme::offload
