#include "kernels/cpu/scratch.h"

#include <algorithm>

#include "kernels/backend.h"

namespace mneme::kernels::cpu {
namespace {
constexpr std::size_t kScratchAlignment = 64;
constexpr std::size_t kSmallestBlock = std::size_t{64} << 10;
}  // namespace

std::byte* Scratch::take_bytes(std::size_t bytes) {
  bytes = (bytes + kScratchAlignment - 1) / kScratchAlignment * kScratchAlignment;
  if (blocks_.empty() || used_ + bytes > blocks_.back().bytes()) {
    blocks_.push_back(backend_.allocate(std::max(bytes, kSmallestBlock), MemoryKind::kDevice));
    used_ = 0;
  }
  std::byte* result = blocks_.back().as<std::byte>() + used_;
  used_ += bytes;
  return result;
}

void Scratch::reset() {
  if (blocks_.size() > 1) {
    std::size_t total = 0;
    for (const Buffer& block : blocks_) total += block.bytes();
    blocks_.clear();
    blocks_.push_back(backend_.allocate(total, MemoryKind::kDevice));
  }
  used_ = 0;
}

}  // namespace mneme::kernels::cpu
