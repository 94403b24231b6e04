#include "offload/disk/slot_allocator.h"

#include <algorithm>
#include <limits>

#include "io/check.h"

namespace mneme::offload {

std::uint32_t SlotAllocator::allocate(SealSide side) {
  if (!free_.empty()) {
    const std::uint32_t slot = free_.back();
    free_.pop_back();
    born_[slot] = seal(side);
    return slot;
  }
  CHECK(born_.size() < std::numeric_limits<std::uint32_t>::max() - 1);
  born_.push_back(seal(side));
  return static_cast<std::uint32_t>(born_.size() - 1);
}

void SlotAllocator::supersede(std::uint32_t slot, SealSide side) {
  CHECK(slot < born_.size());
  if (is_sealed(slot, side)) {
    retired_[seal(side)].push_back(slot);
  } else {
    free_.push_back(slot);
  }
}

void SlotAllocator::commit(std::uint64_t epoch) {
  kept_[epoch] = sealed_;
  reclaim();
}

void SlotAllocator::release(std::uint64_t epoch) {
  kept_.erase(epoch);
  reclaim();
}

void SlotAllocator::reclaim() {
  // A seal that was never committed protects nothing once a later one is.
  std::uint64_t oldest = sealed_;
  for (const auto& [epoch, seal] : kept_) oldest = std::min(oldest, seal);
  while (!retired_.empty() && retired_.begin()->first < oldest) {
    auto& slots = retired_.begin()->second;
    free_.insert(free_.end(), slots.begin(), slots.end());
    retired_.erase(retired_.begin());
  }
}

void SlotAllocator::restore(const std::vector<const CheckpointTable*>& kept, std::size_t current) {
  *this = SlotAllocator{};
  std::uint64_t slots = 0;
  for (const CheckpointTable* table : kept) {
    for (const TableEntry& entry : table->entries) {
      slots = std::max<std::uint64_t>(slots, entry.slot + std::uint64_t{1});
    }
  }
  born_.assign(slots, 0);
  std::vector<std::uint64_t> last_use(slots, 0);  // seal number of the newest table with the slot
  std::vector<bool> live(slots, false);
  for (const CheckpointTable* table : kept) {
    ++sealed_;
    kept_[table->epoch] = sealed_;
    for (const TableEntry& entry : table->entries) last_use[entry.slot] = sealed_;
  }
  for (const TableEntry& entry : kept[current]->entries) live[entry.slot] = true;
  for (std::uint64_t slot = slots; slot-- > 0;) {
    if (last_use[slot] == 0) {
      free_.push_back(static_cast<std::uint32_t>(slot));
    } else if (!live[slot]) {
      retired_[last_use[slot]].push_back(static_cast<std::uint32_t>(slot));
    }
  }
}

}  // namespace mneme::offload
