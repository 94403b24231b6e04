// Where each row of a table is: two arrays with an entry for each row of the table.
//
//   location    on the device, 4 bytes: untouched, a device slot, a host slot, or on disk. The plan
//               reads and changes locations in bulk
//   disk slot   on the host, 4 bytes: where the row's record is in the rows file. Only the host
//               needs it. A row in the device or host tier may have one, too: its copy on disk,
//               which is valid while the row is not dirty
//
// Zero means "untouched" and "no disk slot". On the host, and on the CPU backend for both arrays,
// pages that were never written take no memory, so that a table of any size opens at once.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "offload/lazy_array.h"

namespace mneme::offload {

class Residency {
 public:
  Residency(kernels::Backend& backend, std::uint64_t rows);

  std::uint64_t rows() const { return rows_; }
  // Device, [rows].
  kernels::Location* locations() const { return locations_.data(); }

  bool has_disk_slot(kernels::RowId row) const { return disk_[row] != 0; }
  // REQUIRES has_disk_slot(row).
  std::uint32_t disk_slot(kernels::RowId row) const { return disk_[row] - 1; }
  void set_disk_slot(kernels::RowId row, std::uint32_t slot) { disk_[row] = slot + 1; }
  void clear_disk_slot(kernels::RowId row) { disk_[row] = 0; }

  // Rows that are in some tier, ascending. Scans the table: for tools, never within a step.
  std::vector<kernels::RowId> touched(kernels::Backend& backend, kernels::Stream& stream) const;

 private:
  std::uint64_t rows_;
  kernels::DeviceArray<kernels::Location> locations_;
  LazyArray<std::uint32_t> disk_;  // disk slot + 1, 0 for none
};

}  // namespace mneme::offload
