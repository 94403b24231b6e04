// Where each row of a table is: on the device, 4 bytes a row (kernels/location.h): untouched, a
// device slot, a host slot, or on disk. Plans read and change locations in bulk.
//
// Zero means "untouched". On the CPU backend pages that were never written take no memory, so that
// a table of any size opens at once.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/device_array.h"

namespace mneme::offload {

class Residency {
 public:
  Residency(kernels::Backend& backend, std::uint64_t rows);

  std::uint64_t rows() const { return rows_; }
  // Device, [rows].
  kernels::Location* locations() const { return locations_.data(); }

  // Rows that are in some tier, ascending. Scans the table: for tools, never within a step.
  std::vector<kernels::RowId> touched(kernels::Backend& backend, kernels::Stream& stream) const;

 private:
  std::uint64_t rows_;
  kernels::DeviceArray<kernels::Location> locations_;
};

}  // namespace mneme::offload
