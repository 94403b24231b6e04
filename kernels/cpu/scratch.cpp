#include "kernels/cpu/scratch.h"

#include <algorithm>
#include <cstring>

#include "kernels/backend.h"

namespace mneme::kernels::cpu {
namespace {
constexpr std::size_t kScratchAlignment = 64;
constexpr std::size_t kSmallestBlock = std::size_t{64} << 10;

void copy_zone(void* target, const void* source, std::size_t bytes) {
  std::memcpy(target, source, bytes);
}
}  // namespace

Scratch::Scratch(Backend& backend, bool guarded) : backend_(backend) {
  if (guarded) zones_.emplace(copy_zone, kScratchAlignment);
}

std::byte* Scratch::take_bytes(std::size_t wanted) {
  std::size_t bytes = zones_ ? zones_->space(wanted) : wanted;
  bytes = (bytes + kScratchAlignment - 1) / kScratchAlignment * kScratchAlignment;
  if (blocks_.empty() || used_ + bytes > blocks_.back().bytes()) {
    blocks_.push_back(backend_.allocate(std::max(bytes, kSmallestBlock), MemoryKind::kDevice));
    used_ = 0;
  }
  std::byte* result = blocks_.back().as<std::byte>() + used_;
  used_ += bytes;
  return zones_ ? zones_->enclose(result, wanted, "scratch memory of an operation") : result;
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

void Scratch::check_guard_zones() {
  if (zones_) zones_->open_all("when the operation had run");
}

}  // namespace mneme::kernels::cpu
