// The warm tier: records in pinned host memory, each one contiguous, so that one transfer moves a
// row. Knows slots, rows and scores; moving bytes is its caller's business.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/backend.h"

namespace mneme::offload {

struct HostVictim {
  std::uint32_t slot = 0;
  kernels::RowId row = 0;
  bool dirty = false;
};

class HostTier {
 public:
  // Bytes of the budget that one record takes.
  static std::size_t slot_bytes(std::size_t record_bytes) { return (record_bytes + 63) / 64 * 64; }

  HostTier(kernels::Backend& backend, std::uint64_t bytes, std::size_t record_bytes,
           kernels::ReplacementKind policy, std::uint64_t seed);

  std::uint32_t slots() const { return slots_; }
  std::uint32_t used() const { return slots_ - static_cast<std::uint32_t>(free_.size()); }
  std::uint32_t free_slots() const { return static_cast<std::uint32_t>(free_.size()); }
  std::byte* record(std::uint32_t slot) const {
    return memory_.as<std::byte>() + static_cast<std::size_t>(slot) * stride_;
  }
  kernels::RowId row(std::uint32_t slot) const { return state_[slot].row; }
  bool dirty(std::uint32_t slot) const { return state_[slot].dirty; }
  bool prefetched(std::uint32_t slot) const { return state_[slot].prefetched; }
  void set_clean(std::uint32_t slot) { state_[slot].dirty = false; }
  // The row is about to be read: it is no victim in this tick when anything else is left.
  void protect(std::uint32_t slot) { state_[slot].protected_until = tick_ + 1; }

  // Takes a free slot. REQUIRES free_slots() > 0. `uses` weighs the row for lfu and static-hot;
  // a prefetched row is not a victim before `protected_until` ticks have passed.
  std::uint32_t take(kernels::RowId row, bool dirty, std::uint32_t uses, bool prefetched,
                     std::uint64_t protected_until);
  void release(std::uint32_t slot);
  // Picks up to `wanted` slots worth least, prefetched ones only when nothing else is left. They
  // stay occupied until released.
  std::vector<HostVictim> victims(std::uint32_t wanted);
  // Time for protection and age: one tick a training step.
  void set_tick(std::uint64_t tick) { tick_ = tick; }
  // Occupied dirty slots, ascending.
  std::vector<std::uint32_t> dirty_slots() const;

 private:
  struct SlotState {
    kernels::RowId row = 0;
    std::uint32_t uses = 0;
    std::uint64_t order = 0;  // of arrival
    std::uint64_t protected_until = 0;
    bool occupied = false;
    bool dirty = false;
    bool prefetched = false;
  };
  // Lower goes first.
  std::uint64_t score(const SlotState& state, std::uint32_t slot) const;

  kernels::ReplacementKind policy_;
  std::uint64_t seed_;
  std::size_t stride_ = 0;
  std::uint32_t slots_ = 0;
  kernels::Buffer memory_;
  std::vector<SlotState> state_;
  std::vector<std::uint32_t> free_;
  std::uint64_t arrivals_ = 0;
  std::uint64_t tick_ = 0;
};

}  // namespace mneme::offload
