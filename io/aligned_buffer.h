// Zero-filled memory at an address that direct I/O accepts.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>

#include "io/error.h"

namespace mneme::io {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // alignment: a power of two. Throws Error when there is no memory.
  AlignedBuffer(std::size_t bytes, std::size_t alignment) : bytes_(bytes) {
    const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    data_.reset(static_cast<std::byte*>(std::aligned_alloc(alignment, rounded)));
    if (!data_) fail("no memory for an I/O buffer of {} bytes; lower the host budget", bytes);
    std::memset(data_.get(), 0, rounded);
  }

  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  std::size_t size() const { return bytes_; }
  std::span<std::byte> span() { return {data_.get(), bytes_}; }
  std::span<const std::byte> span() const { return {data_.get(), bytes_}; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free> data_;
  std::size_t bytes_ = 0;
};

}  // namespace mneme::io
