// The host's view of where each row is: two flat arrays over the rows of a table, no hash table.
//
// Exclusive tiers: a row is on the device, in a host slot, on disk only, or untouched. A row on the
// device or in a host slot may also have a disk slot: that is its clean copy, valid while the
// record is not dirty. Arrays are lazily touched zero pages, so a table of any size costs nothing
// until its rows are used.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/key_ops.h"

namespace mneme::offload {

enum class Place : std::uint8_t { kUntouched, kDevice, kHost, kDisk };

// Zero pages of the size of a table. Move-only.
template <typename T>
class LazyArray {
 public:
  LazyArray() = default;
  explicit LazyArray(std::uint64_t count);
  ~LazyArray();
  LazyArray(const LazyArray&) = delete;
  LazyArray& operator=(const LazyArray&) = delete;

  T& operator[](std::uint64_t index) { return data_[index]; }
  const T& operator[](std::uint64_t index) const { return data_[index]; }

 private:
  T* data_ = nullptr;
  std::uint64_t count_ = 0;
};

class Residency {
 public:
  explicit Residency(std::uint64_t rows);

  std::uint64_t rows() const { return rows_; }
  Place place(kernels::RowId row) const;
  // REQUIRES place(row) == kHost.
  std::uint32_t host_slot(kernels::RowId row) const { return upper_[row] - kFirstHost; }
  bool has_disk_slot(kernels::RowId row) const { return disk_[row] != 0; }
  // REQUIRES has_disk_slot(row).
  std::uint32_t disk_slot(kernels::RowId row) const { return disk_[row] - 1; }

  void set_device(kernels::RowId row) { change(row, kOnDevice, disk_[row]); }
  void set_host(kernels::RowId row, std::uint32_t slot) {
    change(row, slot + kFirstHost, disk_[row]);
  }
  // Leaves the row to its disk slot, or untouched when it has none.
  void drop(kernels::RowId row) { change(row, 0, disk_[row]); }
  void set_disk_slot(kernels::RowId row, std::uint32_t slot) { change(row, upper_[row], slot + 1); }
  // Rows that are in some tier.
  std::uint64_t touched_count() const { return touched_count_; }

  // How often the row was moved from the device to the host (saturating): the host tier's measure
  // of use, since reads of a row in the host tier move it out.
  std::uint8_t count_demotion(kernels::RowId row);

  // Scans the table: for tools, never within a step.
  std::vector<kernels::RowId> touched() const;

 private:
  static constexpr std::uint32_t kOnDevice = 1;
  static constexpr std::uint32_t kFirstHost = 2;

  void change(kernels::RowId row, std::uint32_t upper, std::uint32_t disk) {
    touched_count_ -= upper_[row] != 0 || disk_[row] != 0 ? 1 : 0;
    touched_count_ += upper != 0 || disk != 0 ? 1 : 0;
    upper_[row] = upper;
    disk_[row] = disk;
  }

  std::uint64_t rows_;
  std::uint64_t touched_count_ = 0;
  LazyArray<std::uint32_t> upper_;  // 0: neither device nor host
  LazyArray<std::uint32_t> disk_;   // disk slot + 1, 0 for none
  LazyArray<std::uint8_t> demotions_;
};

}  // namespace mneme::offload
