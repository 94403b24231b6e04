// What a plan hands to those who carry it out, in plain data: which slots are copied where, and
// which have lost their rows. The planner fills it in, mover and disk read it.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/key_ops.h"
#include "kernels/location.h"

namespace mneme::offload {

// The lists of one exchange. Device memory, filled by queued work of the planner's stream.
struct ExchangeLists {
  kernels::SlotId* arriving_from = nullptr;  // host slots
  kernels::SlotId* arriving_to = nullptr;    // device slots
  kernels::SlotId* leaving_from = nullptr;   // device slots; kNoSlot where nothing leaves
  kernels::SlotId* leaving_to = nullptr;     // host slots
};

// Rows that change tiers: `leaving` rows go from device slots to host slots, `arriving` rows from
// host slots to device slots, where either may use slots that the other frees.
struct Exchange {
  ExchangeLists lists;
  std::int64_t arriving = 0, leaving = 0;
  // Slots that were free before the exchange. So arriving row i has to wait for leaving row
  // i - free_device, and leaving row i for arriving row i - free_host, where there is such a row.
  // REQUIRES: one of the two is not 0 where both directions move.
  std::int64_t free_device = 0, free_host = 0;
  // [1], pinned host: how many of the leaving rows do move, the entries that are not kNoSlot. Once
  // the planner's stream has run; null where nothing leaves.
  const std::uint64_t* leaves = nullptr;
};

// Slots of one tier that have lost their rows to others. Host memory, until the next plan. Their
// records stay as they are until a transfer of the same plan overwrites them: those with
// kernels::kDirty have to be written to the disk first, the others may go.
struct Victims {
  std::span<const kernels::SlotId> slots;
  std::span<const kernels::RowId> rows;
  std::span<const std::uint8_t> state;
  bool empty() const { return slots.empty(); }
};

}  // namespace mneme::offload
