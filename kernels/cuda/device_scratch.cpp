#include "kernels/cuda/device_scratch.h"

#include <algorithm>

namespace mneme::kernels::cuda {
namespace {
constexpr std::size_t kSmallestBlock = std::size_t{1} << 20;
}

DeviceScratch::~DeviceScratch() {
  for (const Block& block : blocks_) arena_.release(block.data, block.bytes);
}

void* DeviceScratch::take_bytes(std::size_t bytes) {
  bytes = (bytes + DeviceArena::kAlignment - 1) / DeviceArena::kAlignment * DeviceArena::kAlignment;
  if (blocks_.empty() || used_ + bytes > blocks_.back().bytes) {
    // Twice what there was: the blocks of a run are few.
    const std::size_t before = blocks_.empty() ? kSmallestBlock / 2 : blocks_.back().bytes;
    const std::size_t size = std::max(bytes, 2 * before);
    blocks_.push_back(
        {static_cast<std::byte*>(arena_.allocate(size, "scratch of a stream")), size});
    used_ = 0;
  }
  std::byte* result = blocks_.back().data + used_;
  used_ += bytes;
  return result;
}

void DeviceScratch::reset() {
  used_ = 0;
}

void DeviceScratch::merge() {
  while (blocks_.size() > 1) {
    arena_.release(blocks_.front().data, blocks_.front().bytes);
    blocks_.erase(blocks_.begin());
  }
}

}  // namespace mneme::kernels::cuda
