// Where each row of a table is: two flat arrays over its rows, no hash table.
//
// On the device a location a row (4 bytes): untouched, device slot, host slot, or on disk; the step
// plan reads and changes it in bulk. On the host the disk slot of a row, which only the host needs.
// A row in a tier in memory may also have a disk slot: that is its clean copy, valid while the
// record is not dirty. On the CPU backend both are lazily touched zero pages, so that a table of
// any size costs nothing until its rows are used.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "offload/lazy_array.h"

namespace mneme::offload {

class Residency {
 public:
  Residency(kernels::Backend& backend, std::uint64_t rows);

  std::uint64_t rows() const { return rows_; }
  // Device, [rows].
  kernels::Location* locations() const { return locations_.as<kernels::Location>(); }

  bool has_disk_slot(kernels::RowId row) const { return disk_[row] != 0; }
  // REQUIRES has_disk_slot(row).
  std::uint32_t disk_slot(kernels::RowId row) const { return disk_[row] - 1; }
  void set_disk_slot(kernels::RowId row, std::uint32_t slot) { disk_[row] = slot + 1; }
  void clear_disk_slot(kernels::RowId row) { disk_[row] = 0; }

  // Rows that are in some tier, ascending. Scans the table: for tools, never within a step.
  std::vector<kernels::RowId> touched(kernels::Backend& backend, kernels::Stream& stream) const;

 private:
  std::uint64_t rows_;
  kernels::Buffer locations_;
  LazyArray<std::uint32_t> disk_;  // disk slot + 1, 0 for none
};

}  // namespace mneme::offload
