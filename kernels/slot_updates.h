// What looking up, using, saving and unbinding rows does to one entry of a slot table, written once
// for CPU and GPU. How rows move between tiers is in slot_moves.h.
#pragma once

#include <cstdint>

#include "kernels/residency_ops.h"
#include "kernels/scalar.h"
#include "kernels/use_history.h"

namespace mneme::kernels::slot_updates {

// How many rows a look-up is of, and whether they are looked up.
MNEME_HOST_DEVICE std::uint64_t rows_there(const LookupSlotsArgs& args) {
  return args.count_at != nullptr ? *args.count_at : static_cast<std::uint64_t>(args.count);
}
MNEME_HOST_DEVICE std::int64_t rows_to_look_up(const LookupSlotsArgs& args) {
  const std::uint64_t there = rows_there(args);
  return there <= static_cast<std::uint64_t>(args.count) ? static_cast<std::int64_t>(there) : 0;
}

// The device slot of the row at `location`, or kNoSlot. Where the row is in the host tier and
// host_lease is not 0, its host slot is marked as leased. takes_hint: whether the row is on the
// device for a prefetch, which is used now.
MNEME_HOST_DEVICE SlotId look_up(const SlotTable& device, const SlotTable& host,
                                 const LookupSlotsArgs& args, Location location, bool* takes_hint) {
  const Place place = place_of(location);
  const SlotId slot = slot_of(location);
  *takes_hint = false;
  if (place == Place::kHost && args.host_lease != 0) host.leased[slot] = args.host_lease;
  if (place != Place::kDevice) return kNoSlot;
  if (args.use_hints && (device.state[slot] & kHinted) != 0) {
    *takes_hint = (device.state[slot] & kPrefetched) != 0;
    device.step_used[slot] = use_history::of_slot(device, slot).step;
    device.state[slot] = static_cast<std::uint8_t>(device.state[slot] & ~kHinted);
  }
  return slot;
}

// Whether a prefetch has brought the row at `location` to the host tier, and nothing used it yet.
MNEME_HOST_DEVICE bool is_hinted(const SlotTable& host, Location location) {
  return place_of(location) == Place::kHost && (host.state[slot_of(location)] & kPrefetched) != 0;
}

MNEME_HOST_DEVICE SlotTableState totals_of(const SlotTable& table) {
  return table.totals != nullptr ? *table.totals : SlotTableState{};
}

// The slot is free, as all are at the start.
MNEME_HOST_DEVICE void reset(const SlotTable& table, SlotId slot) {
  table.row_of_slot[slot] = 0;
  table.state[slot] = 0;
  table.last_used[slot] = 0;
  table.leased[slot] = 0;
  table.step_used[slot] = 0;
  table.frequency[slot] = 0;
  table.referenced[slot] = 0;
  table.occupied[slot] = 0;
  if (table.inserted != nullptr) table.inserted[slot] = 0;
  if (table.uses != nullptr) table.uses[slot] = 0;
  table.free_slots[slot] = slot;
}

// Takes a slot away from its row, which it still names. The slot does not become free.
MNEME_HOST_DEVICE void unbind(const SlotTable& table, RowId row, SlotId slot, std::uint8_t state) {
  const bool initial = (state & (kDirty | kOnDisk)) == 0;
  table.locations[row] = initial ? location_of(Place::kUntouched)
                                 : use_history::on_disk(use_history::of_slot(table, slot));
  table.occupied[slot] = 0;
}

MNEME_HOST_DEVICE void count_use(const SlotTable& table, const MarkUsedArgs& args, SlotId slot) {
  const std::uint32_t passed = args.use_counter - table.last_used[slot];
  table.frequency[slot] = use_history::after_use(use_history::of_slot(table, slot), args.step);
  if (table.uses != nullptr) table.uses[slot] += 1;
  // The use for which a row was brought in says nothing about later uses.
  if (passed != 0) table.referenced[slot] = 1;
  table.last_used[slot] = args.use_counter;
  table.step_used[slot] = args.step;
}

// Its history stays, as of the step that use_history.h counts hinted rows by.
MNEME_HOST_DEVICE void keep(const SlotTable& table, const MarkUsedArgs& args, SlotId slot) {
  const std::uint8_t state = table.state[slot];
  if ((state & kPrefetched) != 0 || table.occupied[slot] == 0) return;
  const bool is_kept = (state & kKept) != 0;
  if (table.step_used[slot] >= (is_kept ? args.step : args.unkept_before)) return;
  const use_history::UseHistory history = use_history::of_slot(table, slot);
  const std::uint32_t counted = use_history::counted_step(kKept, args.step);
  table.frequency[slot] = use_history::uses_as_of(history, counted);
  table.step_used[slot] = args.step;
  table.state[slot] = static_cast<std::uint8_t>(state | kKept);
}

MNEME_HOST_DEVICE void mark(const SlotTable& table, const MarkUsedArgs& args, SlotId slot) {
  if (args.keep) {
    keep(table, args, slot);
    return;
  }
  if (args.use) count_use(table, args, slot);
  if (args.lease) table.leased[slot] = args.use_counter;
  if (args.dirty) table.state[slot] |= kDirty;
}

struct IsSpare {
  SlotTable table;
  CountSpareArgs args;
  MNEME_HOST_DEVICE bool operator()(std::int64_t slot) const {
    return table.occupied[slot] != 0 && table.leased[slot] < args.first_live_lease &&
           table.step_used[slot] < args.step;
  }
};

// The record is about to be written. Where it is, or kUntouched when it need not be.
MNEME_HOST_DEVICE Location take_unsaved(const SlotTable& device, const SlotTable& host, RowId row) {
  const Location location = device.locations[row];
  const Place place = place_of(location);
  if (place != Place::kDevice && place != Place::kHost) return location_of(Place::kUntouched);
  std::uint8_t& state = (place == Place::kDevice ? device : host).state[slot_of(location)];
  if ((state & kUnsaved) == 0) return location_of(Place::kUntouched);
  state = static_cast<std::uint8_t>((state & ~(kDirty | kUnsaved)) | kOnDisk);
  return location;
}

// Selects slots whose record differs from its copy on disk or its initial value.
struct IsDirty {
  SlotTable table;
  MNEME_HOST_DEVICE bool operator()(std::int64_t slot) const {
    return table.occupied[slot] != 0 && (table.state[slot] & kDirty) != 0;
  }
};

MNEME_HOST_DEVICE void mark_unsaved(const SlotTable& table, std::int64_t slot) {
  if (IsDirty{table}(slot)) table.state[slot] |= kUnsaved;
}

// Whether all arrays are there, `inserted` and `uses` apart.
inline bool is_complete(const SlotTable& table) {
  return table.locations != nullptr && table.row_of_slot != nullptr && table.state != nullptr &&
         table.last_used != nullptr && table.leased != nullptr && table.step_used != nullptr &&
         table.frequency != nullptr && table.referenced != nullptr && table.occupied != nullptr &&
         table.free_slots != nullptr && table.totals != nullptr;
}

// Whether the table can be used as it is: complete, and its slots have numbers.
inline bool is_table(const SlotTable& table) {
  return is_complete(table) && table.slots <= std::uint32_t{1} << 29 &&
         (table.place == Place::kDevice || table.place == Place::kHost);
}

// Whether these are the two tiers of one table. There may be no host tier.
inline bool are_tiers(const SlotTable& device, const SlotTable& host) {
  return is_table(device) && device.place == Place::kDevice &&
         (host.slots == 0 ||
          (is_table(host) && host.place == Place::kHost && host.locations == device.locations &&
           (host.uses != nullptr) == (device.uses != nullptr)));
}

}  // namespace mneme::kernels::slot_updates
