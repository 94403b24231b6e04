// Zero pages of the size of a table, taken from the system when they are first written. Move-only.
//
// On the host only: a table of any size costs nothing here until its rows are used.
#pragma once

#include <cstdint>
#include <utility>

namespace mneme::offload {

// T: std::uint32_t or std::uint64_t.
template <typename T>
class LazyArray {
 public:
  LazyArray() = default;
  // Throws Error when the address space has no room for it.
  explicit LazyArray(std::uint64_t count);
  ~LazyArray();
  LazyArray(LazyArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  LazyArray& operator=(LazyArray&&) = delete;

  T& operator[](std::uint64_t index) { return data_[index]; }
  const T& operator[](std::uint64_t index) const { return data_[index]; }
  std::uint64_t count() const { return count_; }

 private:
  T* data_ = nullptr;
  std::uint64_t count_ = 0;
};

}  // namespace mneme::offload
