// Where each row of a table is: two flat arrays over its rows, no hash table.
//
// On the device a location a row (4 bytes): untouched, device slot, host slot, or on disk; the step
// plan reads and changes it in bulk. On the host the disk slot of a row, which only the host needs.
// A row in a tier in memory may also have a disk slot: that is its clean copy, valid while the
// record is not dirty. On the CPU backend both are lazily touched zero pages, so that a table of
// any size costs nothing until its rows are used.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/backend.h"

namespace mneme::offload {

// Zero pages of the size of a table. Move-only.
template <typename T>
class LazyArray {
 public:
  LazyArray() = default;
  explicit LazyArray(std::uint64_t count);
  ~LazyArray();
  LazyArray(LazyArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  LazyArray& operator=(LazyArray&&) = delete;

  T& operator[](std::uint64_t index) { return data_[index]; }
  const T& operator[](std::uint64_t index) const { return data_[index]; }

 private:
  T* data_ = nullptr;
  std::uint64_t count_ = 0;
};

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
