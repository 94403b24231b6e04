// The slot table of a tier in memory, device or host: what the planner knows of each slot. All of
// it lies in device memory.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace mneme::offload {

// Whether the slots of a table count uses that never lose weight (SlotTable::uses). A row takes its
// counts along between the tiers, so that both have them or none.
inline bool keeps_uses(kernels::ReplacementKind device_policy,
                       kernels::ReplacementKind host_policy) {
  constexpr auto kStaticHot = kernels::ReplacementKind::kStaticHot;
  return device_policy == kStaticHot || host_policy == kStaticHot;
}

class TierSlots {
 public:
  // Device memory that one slot takes here, whichever tier it belongs to.
  static std::uint64_t bytes_per_slot(bool keeps_uses);
  // Device memory of a tier's slots, all of it.
  static std::uint64_t bytes(std::uint32_t slots, bool keeps_uses);
  // The most slots that backends can count.
  static constexpr std::uint64_t kMost = std::uint64_t{1} << 29;

  // All slots are free once the stream has run. locations: device, [table rows], shared by the
  // tiers of a table. slots may be 0: there is no such tier.
  TierSlots(kernels::Backend& backend, kernels::Stream& stream, kernels::Place place,
            kernels::Location* locations, std::uint32_t slots, bool keeps_uses);

  std::uint32_t count() const { return table_.slots; }
  const kernels::SlotTable& table() const { return table_; }

 private:
  kernels::Buffer buffer_;
  kernels::SlotTable table_;
};

}  // namespace mneme::offload
