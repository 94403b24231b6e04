// The fourth part of the Backend interface: which rows are where, and which of them move. Where
// each row of a table is, and which slots of the device and the host tier are free, is kept in
// device memory, and decided there in bulk. The host learns counts, and the lists of rows that it
// has to read or write itself. The operations are built from sorts, scans and selections over an
// execution policy (algorithms.h), so that CPU and GPU share one source.
#pragma once

#include <cstdint>

#include "io/enum_names.h"
#include "kernels/key_ops.h"
#include "kernels/location.h"
#include "kernels/memory.h"

namespace mneme::kernels {

// Bits of SlotTable::state. A record without kDirty and kOnDisk still has its initial value.
inline constexpr std::uint8_t kDirty = 1;       // differs from its copy on disk or initial value
inline constexpr std::uint8_t kOnDisk = 2;      // the row has a disk slot
inline constexpr std::uint8_t kPrefetched = 4;  // a prefetch brought it; no lease has used it yet
inline constexpr std::uint8_t kKept = 16;  // a hint named it where it was; no lease has used it yet
inline constexpr std::uint8_t kHinted = kPrefetched | kKept;
inline constexpr std::uint8_t kUnsaved = 8;  // the checkpoint under way has yet to write it, as it
                                             // is; dirty

// Totals of a slot table. The free slots are a queue in a ring: free_slots[(first_free + i) %
// slots] for i < free.
struct SlotTableState {
  std::uint32_t first_free = 0;
  std::uint32_t free = 0;
  std::uint64_t dropped = 0;          // victims that went nowhere, since the start
  std::uint64_t prefetch_used = 0;    // prefetched rows that a lease took, since the start
  std::uint64_t prefetch_wasted = 0;  // prefetched rows that became victims, since the start
};

// The slot table of a tier in memory (device or host): an array for each thing that is known of a
// slot. All device memory, [slots] unless said otherwise.
struct SlotTable {
  Place place = Place::kDevice;        // kDevice or kHost: which tier this is
  Location* locations = nullptr;       // [table rows]: of every row; shared by the tiers of a table
  RowId* row_of_slot = nullptr;        // where not occupied, of the row before, or 0
  std::uint8_t* state = nullptr;       // kDirty | kOnDisk | kHinted | kUnsaved
  std::uint32_t* last_used = nullptr;  // lease counter of the last use
  std::uint32_t* leased = nullptr;     // lease counter of the newest lease that holds the slot
  std::uint32_t* step_used = nullptr;  // training step of the last use; of a row with kHinted
                                       // the step up to which it stays while others may go
  float* frequency = nullptr;          // steps that used the row, older ones counting less
                                       // (use_history.h)
  std::uint8_t* referenced = nullptr;  // clock, sieve
  std::uint8_t* occupied = nullptr;    // 1 when the slot holds a row
  std::uint32_t slots = 0;             // at most 2^29; 0: there is no such tier
  std::uint32_t* inserted = nullptr;   // lease counter when the row was bound: sieve's queue order;
                                       // null: the queue is in the order of slots
  SlotId* free_slots = nullptr;        // [slots]: see SlotTableState
  SlotTableState* totals = nullptr;    // [1]
  float* uses = nullptr;               // leases that used the row, for static-hot; null: not kept
};

struct LookupReport {
  std::uint64_t count = 0;   // rows that there were
  std::uint64_t hinted = 0;  // of those in the host tier, rows with kPrefetched
  std::uint64_t in_host = 0, untouched = 0, on_disk = 0;  // of the rows that are not on the device
  SlotTableState device, host;                            // after everything queued before
};

struct LookupSlotsArgs {
  const RowId* rows = nullptr;  // [count], distinct, ascending
  std::int64_t count = 0;       // 0 is allowed: the report only
  // [1], device or pinned host: how many rows there are, when only the device knows; `count` is
  // then the most. What is beyond is neither read nor written. With more than `count` nothing is
  // looked up: the report says how many, and none of them is missing.
  const std::uint64_t* count_at = nullptr;
  SlotId* slots = nullptr;  // [count]: the slot on the device, or kNoSlot
  // [count]: indices into rows of those that are not on the device: first those in the host tier,
  // then untouched ones, then those on disk, each ascending. Null: not wanted.
  std::uint32_t* missing = nullptr;
  RowId* disk_rows = nullptr;  // [count], pinned host: the rows on disk, ascending; or null
  // [count], pinned host: the rows in the host tier that have kPrefetched, ascending; or null.
  RowId* hinted_rows = nullptr;
  // Not 0: `leased` of the host slots that hold missing rows becomes this, so that none of them is
  // a victim.
  std::uint32_t host_lease = 0;
  // Rows on the device lose kHinted; those with kPrefetched count as used.
  bool use_hints = false;
  LookupReport* report = nullptr;  // [1], pinned host; or null
};

// Takes missing rows into the device tier, in the order of the list: each gets the next free slot
// and the replacement data of its host slot, which becomes free. They are leased, and the use they
// come for is counted, as by mark_used. REQUIRES enough free slots.
struct BindMissingArgs {
  const RowId* rows = nullptr;             // of the lookup
  SlotId* slots = nullptr;                 // of the lookup: entries of bound rows are filled in
  const std::uint32_t* missing = nullptr;  // [count]: a stretch of the lookup's list
  std::int64_t count = 0;
  std::uint32_t use_counter = 0;
  // Lists for the transfers, [count] each. A null list is not wanted.
  SlotId* from = nullptr;       // host slot of a row that is in the host tier, else kNoSlot
  SlotId* to = nullptr;         // its device slot
  RowId* bound_rows = nullptr;  // the row
  // Copies instead of moving: no table changes, `slots` stay as they are, and to[i] = missing[i].
  bool copy_only = false;
  // The rows are brought ahead of their use: they get kPrefetched, no lease has them, and no use
  // is counted, neither of them nor of what a prefetch brought to the host tier.
  bool hint = false;
  // Becomes their step_used: the current step; of a hint, the next one, up to which they are no
  // victims while others are left.
  std::uint32_t step_used = 0;
};

struct MarkUsedArgs {
  const SlotId* slots = nullptr;  // [count], distinct but for kNoSlot
  std::int64_t count = 0;
  std::uint32_t use_counter = 0;
  std::uint32_t step = 0;
  // Counts as a use: last_used, step_used, frequency, referenced. REQUIRES: a lookup has used the
  // hints of the rows.
  bool use = true;
  bool lease = true;   // also sets leased = use_counter
  bool dirty = false;  // also sets kDirty
  // Instead of all that: the row is likely to be used in `step`. It gets kKept and stays up to that
  // step while others may go. Rows that a hint has brought, or that a step from unkept_before on
  // has used, stay as they are.
  bool keep = false;
  std::uint32_t unkept_before = 0;
};

// Slots that could become victims without touching those that a step from `step` on uses.
struct CountSpareArgs {
  std::uint32_t step = 0;
  std::uint32_t first_live_lease = 0;
  std::uint64_t* count = nullptr;  // [1]; device or pinned host
};

enum class ReplacementKind : std::uint8_t {
  kLru,
  kLfu,
  kClock,
  kSieve,
  kStaticHot,
  kRandom,
  kBelady,  // where next uses are known: in replays
};
constexpr auto enum_names(ReplacementKind) {
  return std::to_array<io::EnumName<ReplacementKind>>({{"lru", ReplacementKind::kLru},
                                                       {"lfu", ReplacementKind::kLfu},
                                                       {"clock", ReplacementKind::kClock},
                                                       {"sieve", ReplacementKind::kSieve},
                                                       {"static-hot", ReplacementKind::kStaticHot},
                                                       {"random", ReplacementKind::kRandom}});
}

// Picks the `wanted` slots that are worth least: least recently used, with the ages of slots
// unused for 64 leases or more told apart to one part in 32 (lru); fewest uses, weighted by the
// steps since then (lfu: frequency as of now, to a sixteenth of a halving); smallest `uses`, newest
// first (static-hot); next unreferenced from the hand on in order of slots (clock) or of insertion
// (sieve), clearing `referenced` of what the hand passes; a random number of (seed, use_counter,
// slot) (random); used again last (belady). Ties by lower slot. Never a slot with leased >=
// first_live_lease. Slots with step_used >= step only when nothing else is left: the newest first
// (lru, lfu, static-hot), since the passes of a step come by the same rows again, those in turn
// that do not fit; prefetched ones behind all others. belady knows better. Slots are unbound from
// their rows (which are on disk now, or untouched if neither kDirty nor kOnDisk is set) and handed
// out as lists: first those worth less than the last of them, then those worth as much, each in
// ascending order of slots. They do not become free by that. Victims with kPrefetched are counted
// (prefetch_wasted).
struct SelectVictimsArgs {
  ReplacementKind kind = ReplacementKind::kLru;
  std::int64_t wanted = 0;
  std::uint32_t use_counter = 0;
  std::uint32_t step = 0;
  std::uint32_t first_live_lease = 0;
  std::uint64_t seed = 0;
  // belady: when each row is used next, [table rows], in device memory, on a scale on which it is
  // `now` at present; above all that is to come for rows that are not.
  const std::uint32_t* next_use = nullptr;
  std::uint32_t now = 0;
  SlotId* slots = nullptr;        // [wanted], device or pinned host
  RowId* rows = nullptr;          // [wanted], device or pinned host
  std::uint8_t* state = nullptr;  // [wanted], device or pinned host
  // Replacement data of the victims, [wanted], device or pinned host; or null: not wanted.
  std::uint32_t* last_used = nullptr;
  std::uint32_t* step_used = nullptr;
  float* frequency = nullptr;
  float* uses = nullptr;           // not null: REQUIRES the table keeps them
  std::uint64_t* count = nullptr;  // [1], device or pinned host: how many were found
  std::uint32_t* hand = nullptr;   // [1], device or pinned host: clock and sieve hand, kept by the
                                   // caller
};

// Gives victims of the device tier a place in the host tier: those with kDirty or kOnDisk take the
// next free host slots, with their replacement data; the others are dropped and counted. Their
// device slots may be bound to other rows by now: binding comes first in a plan, since it frees the
// host slots that demotion fills. REQUIRES enough free host slots.
struct DemoteVictimsArgs {
  // As select_victims has filled them, [most] and [1].
  const SlotId* slots = nullptr;
  const RowId* rows = nullptr;
  const std::uint8_t* state = nullptr;
  const std::uint32_t* last_used = nullptr;
  const std::uint32_t* step_used = nullptr;
  const float* frequency = nullptr;
  const float* uses = nullptr;  // null exactly when the host tier does not keep them
  const std::uint64_t* count = nullptr;
  std::int64_t most = 0;  // the most victims there may be: *count <= most
  std::uint32_t use_counter = 0;
  // Lists for the transfers, [most] each; kNoSlot in both where nothing moves, and past the count.
  SlotId* from = nullptr;  // device slot
  SlotId* to = nullptr;    // host slot
  // [1], device or pinned host: how many victims got a host slot; written where most > 0. Or null.
  std::uint64_t* moved = nullptr;
};

// Puts rows on disk that were read into host slots (of take_slots) in the host tier.
struct PublishRowsArgs {
  const RowId* rows = nullptr;    // [count], distinct, pinned host: rows on disk
  const SlotId* slots = nullptr;  // [count], distinct, pinned host: where their records are
  std::int64_t count = 0;
  std::uint32_t use_counter = 0;
  std::uint32_t step_used = 0;  // they are no victims up to this step while others are left
};

// Finds rows that the checkpoint under way has yet to write, and takes them for written: those that
// are in memory with kUnsaved lose it and kDirty, and get kOnDisk.
struct TakeUnsavedArgs {
  const RowId* rows = nullptr;  // [count], distinct; device or pinned host
  std::int64_t count = 0;
  Location* taken = nullptr;    // [count], pinned host: where such a row is; of others kUntouched
  RowId* taken_rows = nullptr;  // [count], pinned host: the same rows, for the host; or null
};

class ResidencyOps {
 public:
  virtual ~ResidencyOps() = default;
  // All slots free, 0 first; totals zero.
  virtual void reset_slots(Stream& stream, const SlotTable& table) = 0;
  virtual void lookup_slots(Stream& stream, const SlotTable& device, const SlotTable& host,
                            const LookupSlotsArgs& args) = 0;
  virtual void bind_missing(Stream& stream, const SlotTable& device, const SlotTable& host,
                            const BindMissingArgs& args) = 0;
  // Entries that are kNoSlot are skipped.
  virtual void mark_used(Stream& stream, const SlotTable& table, const MarkUsedArgs& args) = 0;
  virtual void count_spare_slots(Stream& stream, const SlotTable& table,
                                 const CountSpareArgs& args) = 0;
  // A checkpoint begins: occupied dirty slots get kUnsaved.
  virtual void mark_unsaved(Stream& stream, const SlotTable& table) = 0;
  virtual void take_unsaved(Stream& stream, const SlotTable& device, const SlotTable& host,
                            const TakeUnsavedArgs& args) = 0;
  virtual void select_victims(Stream& stream, const SlotTable& table,
                              const SelectVictimsArgs& args) = 0;
  virtual void demote_victims(Stream& stream, const SlotTable& device, const SlotTable& host,
                              const DemoteVictimsArgs& args) = 0;
  // Appends unbound slots to the free ones. slots: [most], count: [1]; device or pinned host.
  // REQUIRES *count <= most.
  virtual void release_slots(Stream& stream, const SlotTable& table, const SlotId* slots,
                             const std::uint64_t* count, std::int64_t most) = 0;
  // Takes up to `most` free slots out of the queue. slots: [most], count: [1]; pinned host.
  virtual void take_slots(Stream& stream, const SlotTable& table, std::int64_t most, SlotId* slots,
                          std::uint64_t* count) = 0;
  virtual void publish_rows(Stream& stream, const SlotTable& host, const PublishRowsArgs& args) = 0;
  // out[i] = where rows[i] is. rows, out: [count], device or pinned host.
  virtual void locate_rows(Stream& stream, const Location* locations, const RowId* rows,
                           std::int64_t count, Location* out) = 0;
  // The rows are on disk. rows: [count], device or pinned host.
  virtual void place_on_disk(Stream& stream, Location* locations, const RowId* rows,
                             std::int64_t count) = 0;
  // Lists the occupied dirty slots and their rows, ascending by slot. slots, rows: [table.slots]
  // pinned host; count: [1] pinned host.
  virtual void list_dirty(Stream& stream, const SlotTable& table, SlotId* slots, RowId* rows,
                          std::uint64_t* count) = 0;
};

}  // namespace mneme::kernels
