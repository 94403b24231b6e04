// Which slots of a rows file are free, and which hold records that a kept checkpoint still needs.
//
// Shadow paging: a dirty record always goes to a fresh slot. The slot it leaves is reused at once
// when no checkpoint has seen it, else when every checkpoint that refers to it is released.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <vector>

#include "offload/disk/row_table.h"

namespace mneme::offload {

// When something happens: now, or as if it had been before the last seal. A checkpoint's records
// are written behind its seal, and belong to what it seals.
enum class SealSide { kAfter, kBefore };

class SlotAllocator {
 public:
  // Slots ever handed out: the rows file must hold this many.
  std::uint64_t slots() const { return born_.size(); }
  std::uint64_t free_slots() const { return free_.size(); }

  // Whether a checkpoint may refer to the slot, which then outlives its record.
  bool is_sealed(std::uint32_t slot, SealSide side = SealSide::kAfter) const {
    return born_[slot] != seal(side);
  }

  // A slot that no live record and no kept checkpoint uses.
  std::uint32_t allocate(SealSide side = SealSide::kAfter);
  // The slot's record is superseded.
  void supersede(std::uint32_t slot, SealSide side = SealSide::kAfter);

  // Seals what is allocated now: the next checkpoint will refer to it.
  void seal() { ++sealed_; }
  // The last seal belongs to a durable checkpoint `epoch`, kept until released.
  void commit(std::uint64_t epoch);
  void release(std::uint64_t epoch);

  // Starts over from the tables of the kept checkpoints, oldest first; the slots of kept[current]
  // are live, those of the others stay as long as these are kept.
  void restore(const std::vector<const CheckpointTable*>& kept, std::size_t current);

 private:
  // The number of seals, on that side of the last one.
  std::uint64_t seal(SealSide side) const {
    return side == SealSide::kBefore && sealed_ > 0 ? sealed_ - 1 : sealed_;
  }
  void reclaim();

  std::vector<std::uint64_t> born_;  // by slot: number of seals when it was allocated
  std::vector<std::uint32_t> free_;
  std::uint64_t sealed_ = 0;
  std::map<std::uint64_t, std::uint64_t> kept_;                  // epoch -> seal number
  std::map<std::uint64_t, std::vector<std::uint32_t>> retired_;  // last seal that refers -> slots
};

}  // namespace mneme::offload
