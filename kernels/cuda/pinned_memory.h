// Pinned host memory of the CUDA backend. A little comes from CUDA. Much is mapped here first, so
// that it has huge pages, lies near the GPU and is cleared by several threads (hundreds of GiB in
// seconds, not minutes), and is then registered with CUDA.
#pragma once

#include <atomic>
#include <cstddef>
#include <optional>
#include <string>

namespace mneme::kernels::cuda {

class PinnedMemory {
 public:
  // From this size on memory is mapped.
  static constexpr std::size_t kMappedBytes = std::size_t{64} << 20;

  // For one device. Asks where it is, and nothing else.
  explicit PinnedMemory(int device, const std::string& sysfs = "/sys");

  // Zeroed, page aligned, at the same address for the host and for every device. Throws Error: what
  // was asked, what is available, why it was refused and what to lower.
  void* allocate(std::size_t bytes);
  // REQUIRES: allocate(bytes) returned data, and nothing uses it.
  void release(void* data, std::size_t bytes) noexcept;

 private:
  void place(void* data, std::size_t bytes);

  std::size_t nodes_ = 0;    // NUMA nodes of the machine
  std::optional<int> node_;  // nearest to the device
  std::atomic<bool> told_{false};
};

}  // namespace mneme::kernels::cuda
