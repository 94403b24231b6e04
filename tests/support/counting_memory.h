// A backend that counts what is allocated.
#pragma once

#include <array>
#include <cstdint>

#include "tests/support/forwarding_backend.h"

namespace mneme::testing {

class CountingMemory final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;

  kernels::Buffer allocate(std::size_t bytes, kernels::MemoryKind kind) override {
    bytes_[static_cast<std::size_t>(kind)] += bytes;
    return inner_.allocate(bytes, kind);
  }
  std::uint64_t bytes(kernels::MemoryKind kind) const {
    return bytes_[static_cast<std::size_t>(kind)];
  }

 private:
  std::array<std::uint64_t, 2> bytes_{};
};

}  // namespace mneme::testing
