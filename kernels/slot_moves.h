// What moving one row of a list between the tiers does to the slot tables and to the queues of free
// slots; written once for CPU and GPU.
//
// An operation has three passes over its list:
//   1. running sums (algorithms::running_sums_of): how many rows before each one take or free a
//      slot, which gives every row its place in the queues
//   2. the moves, by many threads in any order: no function reads what it writes for another row
//   3. finish_*(): the heads of the queues, which stand still until then, move on
//
// A function that finds lists and tables in contradiction returns a violation. On a GPU the work
// queued behind still runs, so it also keeps within the arrays and leaves kNoSlot in the lists for
// the transfers.
#pragma once

#include <cstdint>

#include "kernels/residency_ops.h"
#include "kernels/scalar.h"
#include "kernels/slot_updates.h"
#include "kernels/slot_violation.h"

namespace mneme::kernels::slot_moves {

using Violation = SlotViolation;

// Two counts of a list in one number, so that one scan sums up both.
inline constexpr std::uint64_t kFirst = 1, kSecond = std::uint64_t{1} << 32;
MNEME_HOST_DEVICE std::uint32_t firsts(std::uint64_t sums) {
  return static_cast<std::uint32_t>(sums);
}
MNEME_HOST_DEVICE std::uint32_t seconds(std::uint64_t sums) {
  return static_cast<std::uint32_t>(sums >> 32);
}

// ---- The queue of free slots ----

// `i` places behind the head. REQUIRES i < table.slots.
MNEME_HOST_DEVICE std::uint32_t place_in_queue(const SlotTable& table, std::uint32_t i) {
  const std::uint32_t at = table.totals->first_free + i;
  return at < table.slots ? at : at - table.slots;
}
MNEME_HOST_DEVICE std::uint32_t free_slots(const SlotTable& table) {
  return table.slots == 0 ? 0 : table.totals->free;
}
// REQUIRES i < free_slots(table).
MNEME_HOST_DEVICE SlotId free_slot(const SlotTable& table, std::uint32_t i) {
  return table.free_slots[place_in_queue(table, i)];
}
// Makes the slot the i-th behind the free ones, whether it has a row or not.
MNEME_HOST_DEVICE Violation append(const SlotTable& table, std::uint64_t i, SlotId slot) {
  const std::uint64_t behind = table.totals->free + i;
  if (behind >= table.slots) return {Violation::Kind::kQueueFull, slot, table.slots, 0};
  table.free_slots[place_in_queue(table, static_cast<std::uint32_t>(behind))] = slot;
  return {};
}
// The head leaves `count` slots behind, or all there are.
MNEME_HOST_DEVICE std::uint32_t advance(const SlotTable& table, std::uint64_t count) {
  const std::uint32_t free = free_slots(table);
  const std::uint32_t taken = count < free ? static_cast<std::uint32_t>(count) : free;
  if (taken == 0) return 0;
  table.totals->first_free =
      taken < table.slots ? place_in_queue(table, taken) : table.totals->first_free;
  table.totals->free = free - taken;
  return taken;
}
// After append() of `count` slots. The queue never gets longer than its ring.
MNEME_HOST_DEVICE void lengthen(const SlotTable& table, std::uint64_t count) {
  if (count == 0) return;
  const std::uint64_t free = table.totals->free + count;
  table.totals->free = free < table.slots ? static_cast<std::uint32_t>(free) : table.slots;
}

// Whether a list whose length the device knows fits where it lies.
MNEME_HOST_DEVICE Violation check_length(std::uint64_t count, std::int64_t most) {
  if (count <= static_cast<std::uint64_t>(most)) return {};
  return {Violation::Kind::kListTooLong, static_cast<std::int64_t>(count), most, 0};
}

// ---- release_slots ----

MNEME_HOST_DEVICE Violation release(const SlotTable& table, std::int64_t i, SlotId slot) {
  if (slot >= table.slots) return {Violation::Kind::kSlotOutside, slot, table.slots, 0};
  if (table.occupied[slot] != 0) {
    return {Violation::Kind::kSlotBound, slot, table.slots, table.row_of_slot[slot]};
  }
  return append(table, static_cast<std::uint64_t>(i), slot);
}
MNEME_HOST_DEVICE Violation finish_release(const SlotTable& table, std::uint64_t count,
                                           std::int64_t most) {
  const Violation violation = check_length(count, most);
  if (violation.kind == Violation::Kind::kNone) lengthen(table, count);
  return violation;
}

// ---- Binding ----

// What a slot knows of the row that it gets.
struct Entry {
  RowId row = 0;
  std::uint8_t state = 0;
  std::uint8_t referenced = 0;
  std::uint32_t last_used = 0, leased = 0, step_used = 0, inserted = 0;
  float frequency = 0, uses = 0;
};

MNEME_HOST_DEVICE Violation bind(const SlotTable& table, SlotId slot, const Entry& entry) {
  if (slot >= table.slots || table.occupied[slot] != 0) {
    return {Violation::Kind::kSlotNotFree, slot, table.slots, entry.row};
  }
  table.locations[entry.row] = location_of(table.place, slot);
  table.row_of_slot[slot] = entry.row;
  table.state[slot] = entry.state;
  table.last_used[slot] = entry.last_used;
  table.leased[slot] = entry.leased;
  table.step_used[slot] = entry.step_used;
  table.frequency[slot] = entry.frequency;
  table.referenced[slot] = entry.referenced;
  table.occupied[slot] = 1;
  if (table.inserted != nullptr) table.inserted[slot] = entry.inserted;
  if (table.uses != nullptr) table.uses[slot] = entry.uses;
  return {};
}

// The state of a record that moves on: whoever moves it uses it.
MNEME_HOST_DEVICE std::uint8_t state_to_move(std::uint8_t state) {
  return static_cast<std::uint8_t>(state & (kDirty | kOnDisk | kUnsaved));
}

MNEME_HOST_DEVICE Violation elsewhere(RowId row, Location location) {
  return {Violation::Kind::kRowElsewhere, row, static_cast<std::int64_t>(place_of(location)),
          slot_of(location)};
}

// ---- bind_missing ----

// kFirst for a row in the host tier, kSecond besides if a prefetch brought it there.
struct CountHostRows {
  SlotTable host;
  const Location* locations;
  BindMissingArgs args;
  MNEME_HOST_DEVICE std::uint64_t operator()(std::int64_t i) const {
    const Location location = locations[args.rows[args.missing[i]]];
    if (place_of(location) != Place::kHost) return 0;
    const bool used = !args.hint && slot_updates::is_hinted(host, location);
    return kFirst + (used ? kSecond : 0);
  }
};

// Fills in what the lists for the transfers say of entry i. A move has no target yet.
MNEME_HOST_DEVICE void list_missing(const BindMissingArgs& args, std::int64_t i,
                                    Location location) {
  if (args.from != nullptr) {
    args.from[i] = place_of(location) == Place::kHost ? slot_of(location) : kNoSlot;
  }
  const std::uint32_t index = args.missing[i];
  if (args.bound_rows != nullptr) args.bound_rows[i] = args.rows[index];
  if (args.to != nullptr) args.to[i] = args.copy_only ? index : kNoSlot;
}

// host_rows: CountHostRows summed up; of no meaning to copies.
MNEME_HOST_DEVICE Violation bind_missing(const SlotTable& device, const SlotTable& host,
                                         const BindMissingArgs& args,
                                         const std::uint64_t* host_rows, std::int64_t i) {
  const std::uint32_t index = args.missing[i];
  const RowId row = args.rows[index];
  const Location location = device.locations[row];
  list_missing(args, i, location);
  if (place_of(location) == Place::kDevice) return elsewhere(row, location);
  if (args.copy_only) return {};
  const std::uint32_t free = free_slots(device);
  if (i >= free) return {Violation::Kind::kNoFreeSlot, free, device.slots, row};

  Entry entry;
  const std::uint32_t step = args.step_used - (args.hint ? 1 : 0);
  use_history::UseHistory history = use_history::of_location(location, step);
  if (place_of(location) == Place::kHost) {
    const SlotId host_slot = slot_of(location);
    history = use_history::of_slot(host, host_slot);
    entry.state = state_to_move(host.state[host_slot]);
    if (host.uses != nullptr) entry.uses = host.uses[host_slot];
    const Violation violation = append(host, firsts(host_rows[i]) - 1, host_slot);
    if (violation.kind != Violation::Kind::kNone) return violation;
    host.occupied[host_slot] = 0;
  } else if (place_of(location) == Place::kDisk) {
    entry.state = kOnDisk;
  }
  entry.row = row;
  entry.last_used = entry.inserted = args.use_counter;
  entry.step_used = args.step_used;
  if (args.hint) {
    entry.state |= kPrefetched;
    entry.frequency =
        use_history::uses_as_of(history, use_history::counted_step(entry.state, args.step_used));
  } else {
    entry.leased = args.use_counter;
    entry.frequency = use_history::after_use(history, step);
    entry.uses += 1;
  }
  const SlotId slot = free_slot(device, static_cast<std::uint32_t>(i));
  const Violation violation = bind(device, slot, entry);
  if (violation.kind != Violation::Kind::kNone) return violation;
  args.slots[index] = slot;
  if (args.to != nullptr) args.to[i] = slot;
  return {};
}

MNEME_HOST_DEVICE void finish_bind(const SlotTable& device, const SlotTable& host,
                                   std::int64_t count, std::uint64_t host_rows) {
  advance(device, static_cast<std::uint64_t>(count));
  if (host.slots == 0) return;
  lengthen(host, firsts(host_rows));
  host.totals->prefetch_used += seconds(host_rows);
}

// ---- demote_victims ----

// kFirst for a victim that goes to the host tier, kSecond for one that is dropped.
struct CountVictims {
  DemoteVictimsArgs args;
  MNEME_HOST_DEVICE std::uint64_t operator()(std::int64_t i) const {
    if (static_cast<std::uint64_t>(i) >= *args.count) return 0;
    return (args.state[i] & (kDirty | kOnDisk)) != 0 ? kFirst : kSecond;
  }
};

// kept: CountVictims summed up.
MNEME_HOST_DEVICE Violation demote(const SlotTable& device, const SlotTable& host,
                                   const DemoteVictimsArgs& args, const std::uint64_t* kept,
                                   std::int64_t i) {
  args.from[i] = kNoSlot;
  args.to[i] = kNoSlot;
  if (i == 0) {
    const Violation violation = check_length(*args.count, args.most);
    if (violation.kind != Violation::Kind::kNone) return violation;
  }
  if (static_cast<std::uint64_t>(i) >= *args.count) return {};
  const std::uint8_t state = args.state[i];
  if ((state & (kDirty | kOnDisk)) == 0) return {};

  const RowId row = args.rows[i];
  const Location location = device.locations[row];
  if (place_of(location) != Place::kDisk) return elsewhere(row, location);
  const std::uint32_t rank = firsts(kept[i]) - 1, free = free_slots(host);
  if (rank >= free) return {Violation::Kind::kNoFreeSlot, free, host.slots, row};
  Entry entry;
  entry.row = row;
  entry.state = state_to_move(state);
  entry.referenced = args.frequency[i] > 1 ? 1 : 0;
  entry.last_used = args.last_used[i];
  entry.step_used = use_history::counted_step(state, args.step_used[i]);
  entry.inserted = args.use_counter;
  entry.frequency = args.frequency[i];
  if (args.uses != nullptr) entry.uses = args.uses[i];
  const SlotId target = free_slot(host, rank);
  const Violation violation = bind(host, target, entry);
  if (violation.kind != Violation::Kind::kNone) return violation;
  args.from[i] = args.slots[i];
  args.to[i] = target;
  return {};
}

MNEME_HOST_DEVICE void finish_demote(const SlotTable& device, const SlotTable& host,
                                     const DemoteVictimsArgs& args, std::uint64_t kept) {
  device.totals->dropped += seconds(kept);
  const std::uint32_t moved = advance(host, firsts(kept));
  if (args.moved != nullptr) *args.moved = moved;
}

// ---- publish_rows ----

MNEME_HOST_DEVICE Violation publish(const SlotTable& host, const PublishRowsArgs& args,
                                    std::int64_t i) {
  const RowId row = args.rows[i];
  const Location location = host.locations[row];
  if (place_of(location) != Place::kDisk) return elsewhere(row, location);
  Entry entry;
  entry.row = row;
  entry.state = kOnDisk | kPrefetched;
  entry.last_used = entry.inserted = args.use_counter;
  entry.step_used = args.step_used;
  const std::uint32_t counted = use_history::counted_step(entry.state, args.step_used);
  entry.frequency =
      use_history::uses_as_of(use_history::of_location(location, args.step_used), counted);
  return bind(host, args.slots[i], entry);
}

// The row is on disk. REQUIRES it is in no tier of memory, where its slot would keep it.
MNEME_HOST_DEVICE Violation place_on_disk(Location* locations, RowId row) {
  const Place place = place_of(locations[row]);
  if (place == Place::kDevice || place == Place::kHost) return elsewhere(row, locations[row]);
  locations[row] = location_of(Place::kDisk);
  return {};
}

}  // namespace mneme::kernels::slot_moves
