// What binding, using and looking up rows does to one entry of a slot table, written once for CPU
// and GPU.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/residency_ops.h"
#include "kernels/scalar.h"

namespace mneme::kernels::slot_updates {

// The slot of a row, or kNoSlot.
MNEME_HOST_DEVICE SlotId slot_of(const SlotTable& table, RowId row) {
  return ~table.slot_of_row[row];
}

// REQUIRES the slot is free.
MNEME_HOST_DEVICE void bind(const SlotTable& table, RowId row, SlotId slot,
                            std::uint32_t use_counter) {
  table.slot_of_row[row] = ~slot;
  table.row_of_slot[slot] = row;
  table.occupied[slot] = 1;
  table.dirty[slot] = 0;
  table.last_used[slot] = use_counter;
  table.leased[slot] = 0;
  table.step_used[slot] = 0;
  table.frequency[slot] = 0;
  table.referenced[slot] = 0;
  if (table.inserted != nullptr) table.inserted[slot] = use_counter;
}

// Takes a slot away from its row, which it still names.
MNEME_HOST_DEVICE void unbind(const SlotTable& table, RowId row, SlotId slot) {
  table.slot_of_row[row] = ~kNoSlot;
  table.occupied[slot] = 0;
}

MNEME_HOST_DEVICE void count_use(const SlotTable& table, const MarkUsedArgs& args, SlotId slot) {
  const std::uint32_t passed = args.use_counter - table.last_used[slot];
  const float kept =
      args.frequency_decay == 1.0f ? 1.0f : powf(args.frequency_decay, static_cast<float>(passed));
  table.frequency[slot] = fused_multiply_add(table.frequency[slot], kept, 1.0f);
  // The use for which a row was brought in says nothing about later uses.
  if (passed != 0) table.referenced[slot] = 1;
  table.last_used[slot] = args.use_counter;
  table.step_used[slot] = args.step;
}

MNEME_HOST_DEVICE void mark(const SlotTable& table, const MarkUsedArgs& args, SlotId slot) {
  if (args.use) count_use(table, args, slot);
  if (args.lease) table.leased[slot] = args.use_counter;
  if (args.dirty) table.dirty[slot] = 1;
}

// Selects positions whose slot is not there.
struct IsMissing {
  const SlotId* slots;
  MNEME_HOST_DEVICE bool operator()(std::int64_t i) const { return slots[i] == kNoSlot; }
};

// Selects slots whose record differs from its copy elsewhere.
struct IsDirty {
  SlotTable table;
  MNEME_HOST_DEVICE bool operator()(std::int64_t slot) const {
    return table.occupied[slot] != 0 && table.dirty[slot] != 0;
  }
};

// Whether all arrays are there, `inserted` apart.
inline bool is_complete(const SlotTable& table) {
  return table.slot_of_row != nullptr && table.row_of_slot != nullptr && table.dirty != nullptr &&
         table.last_used != nullptr && table.leased != nullptr && table.step_used != nullptr &&
         table.frequency != nullptr && table.referenced != nullptr && table.occupied != nullptr;
}

}  // namespace mneme::kernels::slot_updates
