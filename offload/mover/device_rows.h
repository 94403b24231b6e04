// Rows in device memory as structure of arrays by slot: values, moments, gradients and sums of each
// part, last step, lag of the moments. A gather of values touches nothing else.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"

namespace mneme::offload {

class DeviceRows {
 public:
  // Device memory of one slot.
  static std::uint64_t bytes_per_slot(const kernels::RecordLayout& layout);

  DeviceRows(kernels::Backend& backend, const kernels::RecordLayout& layout, std::uint64_t slots);

  const kernels::RowArena& arena() const { return arena_; }

 private:
  std::vector<kernels::Buffer> buffers_;
  kernels::RowArena arena_;
};

}  // namespace mneme::offload
