// The step plan of the device tier, in bulk: the fourth part of the Backend interface. Built from
// sort, scan and select over an execution policy, so that CPU and GPU share one source.
#pragma once

#include <cstdint>

#include "kernels/key_ops.h"
#include "kernels/memory.h"

namespace mneme::kernels {

// What the device tier knows of each slot. All device memory, [slots].
struct SlotTable {
  SlotId* slot_of_row = nullptr;  // [table rows]: kNoSlot when not on the device; stored inverted
                                  // (~slot) so that untouched zero pages mean kNoSlot
  RowId* row_of_slot = nullptr;
  std::uint8_t* dirty = nullptr;       // 1 when the record differs from its copy elsewhere
  std::uint32_t* last_used = nullptr;  // lease counter of the last use
  std::uint32_t* leased = nullptr;     // lease counter of the newest lease that holds the slot
  std::uint32_t* step_used = nullptr;  // training step of the last use
  float* frequency = nullptr;          // decaying use count, as of last_used
  std::uint8_t* referenced = nullptr;  // clock, sieve
  std::uint8_t* occupied = nullptr;    // 1 when row_of_slot is valid
  std::uint32_t slots = 0;             // at most 2^29
  std::uint32_t* inserted = nullptr;   // lease counter when the row was bound: sieve's queue order;
                                       // null: the queue is in the order of slots
};

struct LookupSlotsArgs {
  const RowId* rows = nullptr;  // [count], distinct, ascending
  std::int64_t count = 0;
  SlotId* slots = nullptr;        // [count]: the slot, or kNoSlot
  RowId* missing_rows = nullptr;  // [count], pinned host: rows that are not there, ascending
  std::uint32_t* missing_index = nullptr;  // [count], pinned host: their index in rows
  std::uint64_t* missing_count = nullptr;  // [1], pinned host
};

struct MarkUsedArgs {
  const SlotId* slots = nullptr;  // [count]
  std::int64_t count = 0;
  std::uint32_t use_counter = 0;
  std::uint32_t step = 0;
  bool use = true;               // counts as a use: last_used, step_used, frequency, referenced
  bool lease = true;             // also sets leased = use_counter
  bool dirty = false;            // also sets dirty
  float frequency_decay = 1.0f;  // per unit of use_counter passed
};

enum class ReplacementKind : std::uint8_t { kLru, kLfu, kClock, kSieve, kStaticHot, kRandom };

// Picks the `wanted` slots that are worth least: least recently used (lru); smallest decayed use
// count (lfu); smallest use count, newest first (static-hot); next unreferenced from the hand on in
// order of slots (clock) or of insertion (sieve), clearing `referenced` of what the hand passes;
// a random number of (seed, use_counter, slot) (random). Ties by lower slot. Never a slot with
// leased >= first_live_lease; slots used in the current step only when nothing else is left. Slots
// are unbound from their rows and handed out as lists in ascending score.
struct SelectVictimsArgs {
  ReplacementKind kind = ReplacementKind::kLru;
  std::int64_t wanted = 0;
  std::uint32_t use_counter = 0;
  std::uint32_t step = 0;
  std::uint32_t first_live_lease = 0;
  float frequency_decay = 1.0f;
  std::uint64_t seed = 0;
  SlotId* slots = nullptr;         // [wanted], pinned host
  RowId* rows = nullptr;           // [wanted], pinned host
  std::uint8_t* dirty = nullptr;   // [wanted], pinned host
  std::uint64_t* count = nullptr;  // [1], pinned host: how many were found
  std::uint32_t* hand = nullptr;   // [1], pinned host: clock and sieve hand, kept by the caller
};

class ResidencyOps {
 public:
  virtual ~ResidencyOps() = default;
  virtual void lookup_slots(Stream& stream, const SlotTable& table,
                            const LookupSlotsArgs& args) = 0;
  // Binds rows to free slots: both maps, occupied, dirty = 0, counters reset. rows, slots: [count].
  virtual void bind_slots(Stream& stream, const SlotTable& table, const RowId* rows,
                          const SlotId* slots, std::int64_t count, std::uint32_t use_counter) = 0;
  // Entries that are kNoSlot are skipped.
  virtual void mark_used(Stream& stream, const SlotTable& table, const MarkUsedArgs& args) = 0;
  virtual void clear_dirty(Stream& stream, const SlotTable& table, const SlotId* slots,
                           std::int64_t count) = 0;
  virtual void select_victims(Stream& stream, const SlotTable& table,
                              const SelectVictimsArgs& args) = 0;
  // Lists the occupied dirty slots and their rows, ascending by slot. slots, rows: [table.slots]
  // pinned host; count: [1] pinned host.
  virtual void list_dirty(Stream& stream, const SlotTable& table, SlotId* slots, RowId* rows,
                          std::uint64_t* count) = 0;
};

}  // namespace mneme::kernels
