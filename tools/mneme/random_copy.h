// What the machine reaches where memory is read and written row by row: the yardstick of benchmarks
// of rows.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/backend.h"
#include "kernels/device_array.h"

namespace mneme::tools {

// Copies rows of 1 KiB, taken at random from memory of some size, to one place after the other.
class RandomCopy {
 public:
  static constexpr std::int64_t kRowBytes = 1024;

  // bytes: to take rows from, 4 MiB at least and 1 GiB at most; device memory, as a sixteenth of it
  // to copy to. Backend and stream must outlive it.
  RandomCopy(kernels::Backend& backend, kernels::Stream& stream, std::uint64_t bytes,
             std::uint64_t seed);

  // Bytes read and written a second, in GB, of one copy of a sixteenth of the rows.
  double measure();

 private:
  kernels::Backend& backend_;
  kernels::Stream& stream_;
  std::int64_t rows_, copied_;
  kernels::DeviceArray<float> source_, target_;
  kernels::DeviceArray<std::uint32_t> steps_;
  kernels::DeviceArray<kernels::SlotId> host_slots_;  // pinned, [rows]: a permutation
  kernels::DeviceArray<kernels::SlotId> slots_;
  kernels::RowArena from_, to_;
  std::int64_t next_ = 0;
};

}  // namespace mneme::tools
