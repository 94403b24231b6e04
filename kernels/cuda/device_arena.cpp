#include "kernels/cuda/device_arena.h"

#include <algorithm>

#include "io/check.h"
#include "kernels/cuda/cuda_check.h"

namespace mneme::kernels::cuda {
namespace {

// What a kernel that has lost its way writes first is seldom further than a row of threads.
constexpr std::size_t kZoneBytes = 1024;
static_assert(kZoneBytes % DeviceArena::kAlignment == 0);
constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

std::size_t aligned(std::size_t bytes) {
  return (bytes + DeviceArena::kAlignment - 1) / DeviceArena::kAlignment * DeviceArena::kAlignment;
}

double gib(std::size_t bytes) {
  return static_cast<double>(bytes) / kGiB;
}

void copy_zone(void* target, const void* source, std::size_t bytes) {
  check_cuda(cudaMemcpy(target, source, bytes, cudaMemcpyDefault), "copying a guard zone");
}

}  // namespace

DeviceArena::DeviceArena(std::size_t bytes, std::size_t reserve_bytes, bool guarded) {
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
  if (guarded) zones_.emplace(copy_zone, kZoneBytes);
}

DeviceArena::~DeviceArena() {
  warn_cuda(cudaFree(base_), "freeing device memory");
}

std::size_t DeviceArena::space(std::size_t bytes) const {
  if (zones_) return zones_->space(bytes);
  return std::max(aligned(bytes), kAlignment);
}

void* DeviceArena::allocate(std::size_t bytes, const char* what) {
  std::byte* begin = take(bytes);
  if (!zones_) return begin;
  try {
    return zones_->enclose(begin, bytes, what);
  } catch (...) {
    give_back(begin, bytes);
    throw;
  }
}

std::byte* DeviceArena::take(std::size_t bytes) {
  const std::size_t wanted = bytes > bytes_ ? bytes : space(bytes);
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
  void* begin = data;
  if (zones_) {
    try {
      begin = zones_->open(data, "when it was released");
    } catch (const io::Error& error) {  // The device has failed: its memory is of no more use.
      io::warn("guard zones were not looked at: {}", error.what());
      return;
    }
  }
  give_back(begin, bytes);
}

void DeviceArena::check_guard_zones(const char* when) const {
  if (zones_) zones_->check(when);
}

void DeviceArena::give_back(void* begin, std::size_t bytes) {
  std::lock_guard lock(mutex_);
  const auto offset = static_cast<std::size_t>(static_cast<std::byte*>(begin) - base_);
  auto piece = free_.emplace(offset, space(bytes)).first;
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
