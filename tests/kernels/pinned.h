// Memory for tests that host and device both see, between guard bytes that must survive.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "kernels/backend.h"

namespace mneme::testing {

template <typename T>
class Pinned {
 public:
  Pinned(kernels::Backend& backend, std::int64_t count, T fill = T{})
      : count_(static_cast<std::size_t>(count)),
        buffer_(backend.allocate(count_ * sizeof(T) + 2 * kGuardBytes,
                                 kernels::MemoryKind::kPinnedHost)) {
    std::memset(buffer_.template as<std::byte>(), kGuard, buffer_.bytes());
    for (std::size_t i = 0; i < count_; ++i) data()[i] = fill;
  }
  Pinned(kernels::Backend& backend, const std::vector<T>& values)
      : Pinned(backend, static_cast<std::int64_t>(values.size())) {
    std::copy(values.begin(), values.end(), data());
  }
  Pinned(Pinned&&) = default;
  Pinned& operator=(Pinned&&) = default;
  ~Pinned() {
    if (buffer_.bytes() == 0) return;
    const auto* bytes = buffer_.template as<unsigned char>();
    std::size_t before = 0, behind = 0;
    for (std::size_t i = 0; i < kGuardBytes; ++i) {
      before += bytes[i] != kGuard ? 1 : 0;
      behind += bytes[buffer_.bytes() - 1 - i] != kGuard ? 1 : 0;
    }
    EXPECT_EQ(before, 0u) << "bytes written before the start";
    EXPECT_EQ(behind, 0u) << "bytes written beyond the end";
  }

  T* data() const { return reinterpret_cast<T*>(buffer_.template as<std::byte>() + kGuardBytes); }
  std::size_t size() const { return count_; }
  T& operator[](std::int64_t i) const { return data()[i]; }
  std::vector<T> values() const { return {data(), data() + count_}; }

 private:
  static constexpr std::size_t kGuardBytes = 256;
  static constexpr unsigned char kGuard = 0xA5;
  std::size_t count_ = 0;
  kernels::Buffer buffer_;
};

}  // namespace mneme::testing
