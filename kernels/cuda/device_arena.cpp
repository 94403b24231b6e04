#include "kernels/cuda/device_arena.h"

#include <algorithm>

#include "io/check.h"
#include "kernels/cuda/cuda_check.h"

namespace mneme::kernels::cuda {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

std::size_t aligned(std::size_t bytes) {
  return (bytes + DeviceArena::kAlignment - 1) / DeviceArena::kAlignment * DeviceArena::kAlignment;
}

double gib(std::size_t bytes) {
  return static_cast<double>(bytes) / kGiB;
}

}  // namespace

DeviceArena::DeviceArena(std::size_t bytes, std::size_t reserve_bytes) {
  std::size_t free = 0, total = 0;
  check_cuda(cudaMemGetInfo(&free, &total), "asking for free device memory");
  bytes_ = bytes != 0 ? bytes : free - std::min(free, reserve_bytes);
  bytes_ = bytes_ / kAlignment * kAlignment;
  void* data = nullptr;
  const cudaError_t result = bytes_ == 0 ? cudaErrorMemoryAllocation : cudaMalloc(&data, bytes_);
  if (result == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    io::fail(
        "out of device memory: asked for {} bytes ({:.2f} GiB), free are {:.2f} of {:.2f} GiB; "
        "lower run.arena_bytes or stop other programs on the device",
        bytes_, gib(bytes_), gib(free), gib(total));
  }
  check_cuda(result, "allocating device memory");
  base_ = static_cast<std::byte*>(data);
  free_.emplace(0, bytes_);
}

DeviceArena::~DeviceArena() {
  warn_cuda(cudaFree(base_), "freeing device memory");
}

void* DeviceArena::allocate(std::size_t bytes) {
  const std::size_t wanted = bytes > bytes_ ? bytes : std::max(aligned(bytes), kAlignment);
  std::lock_guard lock(mutex_);
  for (auto piece = free_.begin(); piece != free_.end(); ++piece) {
    const auto [offset, size] = *piece;
    if (size < wanted) continue;
    free_.erase(piece);
    if (size > wanted) free_.emplace(offset + wanted, size - wanted);
    return base_ + offset;
  }
  std::size_t free = 0, largest = 0;
  for (const auto& [offset, size] : free_) {
    free += size;
    largest = std::max(largest, size);
  }
  io::fail(
      "out of device memory: asked for {} bytes ({:.2f} GiB), free are {:.2f} GiB (largest piece "
      "{:.2f}) of the {:.2f} GiB taken at the start; lower tiers.device_bytes, train.batch or the "
      "model, or raise run.arena_bytes",
      bytes, gib(bytes), gib(free), gib(largest), gib(bytes_));
}

void DeviceArena::release(void* data, std::size_t bytes) noexcept {
  std::lock_guard lock(mutex_);
  const auto offset = static_cast<std::size_t>(static_cast<std::byte*>(data) - base_);
  auto piece = free_.emplace(offset, std::max(aligned(bytes), kAlignment)).first;
  const auto next = std::next(piece);
  if (next != free_.end() && piece->first + piece->second == next->first) {
    piece->second += next->second;
    free_.erase(next);
  }
  if (piece == free_.begin()) return;
  const auto before = std::prev(piece);
  if (before->first + before->second == piece->first) {
    before->second += piece->second;
    free_.erase(piece);
  }
}

std::size_t DeviceArena::free_bytes() const {
  std::lock_guard lock(mutex_);
  std::size_t free = 0;
  for (const auto& [offset, size] : free_) free += size;
  return free;
}

}  // namespace mneme::kernels::cuda
