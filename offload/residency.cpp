#include "offload/residency.h"

#include <sys/mman.h>

#include "io/error.h"

namespace mneme::offload {

template <typename T>
LazyArray<T>::LazyArray(std::uint64_t count) : count_(count) {
  if (count == 0) return;
  void* memory = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    io::fail(
        "cannot map {} bytes of address space for a table of {} rows; raise the limit on "
        "virtual memory or use fewer rows",
        count * sizeof(T), count);
  }
  // Small pages: rows are touched at random, and a huge page would cost 2 MiB for each.
  madvise(memory, count * sizeof(T), MADV_NOHUGEPAGE);
  data_ = static_cast<T*>(memory);
}

template <typename T>
LazyArray<T>::~LazyArray() {
  if (data_ != nullptr) munmap(data_, count_ * sizeof(T));
}

template class LazyArray<std::uint8_t>;
template class LazyArray<std::uint32_t>;

Residency::Residency(std::uint64_t rows)
    : rows_(rows), upper_(rows), disk_(rows), demotions_(rows) {}

Place Residency::place(kernels::RowId row) const {
  const std::uint32_t upper = upper_[row];
  if (upper == kOnDevice) return Place::kDevice;
  if (upper >= kFirstHost) return Place::kHost;
  return disk_[row] != 0 ? Place::kDisk : Place::kUntouched;
}

std::uint8_t Residency::count_demotion(kernels::RowId row) {
  std::uint8_t& count = demotions_[row];
  if (count < 255) ++count;
  return count;
}

std::vector<kernels::RowId> Residency::touched() const {
  std::vector<kernels::RowId> rows;
  for (std::uint64_t row = 0; row < rows_; ++row) {
    if (upper_[row] != 0 || disk_[row] != 0) rows.push_back(static_cast<kernels::RowId>(row));
  }
  return rows;
}

}  // namespace mneme::offload
