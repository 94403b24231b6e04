// One tier in memory as the planner sees it: its slot table and its replacement policy. It knows
// slots and rows, nothing of records.
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "offload/planner/tier_slots.h"

namespace mneme::offload {

struct SlotTierOptions {
  kernels::Place place = kernels::Place::kDevice;  // or kHost
  kernels::Location* locations = nullptr;          // device, [table rows]
  std::uint32_t slots = 0;                         // 0: there is no such tier
  kernels::ReplacementKind policy = kernels::ReplacementKind::kLru;
  bool keeps_uses = false;
  std::uint64_t seed = 0;
  const std::uint32_t* next_use = nullptr;  // of SelectVictimsArgs: replacement is Belady's
};

// The lists that a choice of victims fills; device or pinned host memory.
struct VictimLists {
  kernels::SlotId* slots = nullptr;
  kernels::RowId* rows = nullptr;
  std::uint8_t* state = nullptr;
  std::uint32_t* last_used = nullptr;  // or null
  std::uint32_t* step_used = nullptr;  // or null
  float* frequency = nullptr;          // or null
  float* uses = nullptr;               // or null
  std::uint64_t* count = nullptr;      // [1]
};

// Now, as replacement counts time.
struct PlanTime {
  std::uint32_t lease = 0;  // leases so far, the running one included
  std::uint32_t step = 0;
  std::uint32_t next_use = 0;  // `now` of SelectVictimsArgs
};

class SlotTier {
 public:
  SlotTier(kernels::Backend& backend, kernels::Stream& stream, const SlotTierOptions& options);

  std::uint32_t slots() const { return slots_.count(); }
  const kernels::SlotTable& table() const { return slots_.table(); }

  // All of them are queued on the stream.
  // Takes up to `wanted` slots, worth least, from their rows: none that a lease from
  // `first_live_lease` on holds; those used in this step, or hinted for a later one, only when
  // nothing else is left. The slots do not become free by that.
  void select_victims(std::int64_t wanted, const PlanTime& now, std::uint32_t first_live_lease,
                      const VictimLists& lists);
  // Entries that are kNoSlot are skipped. A lease protects slots; a use counts for replacement.
  void mark_leased(const kernels::SlotId* slots, std::int64_t count, std::uint32_t lease);
  void mark_used(const kernels::SlotId* slots, std::int64_t count, const PlanTime& now);
  void mark_dirty(const kernels::SlotId* slots, std::int64_t count);
  // Rows likely to be used in `step` stay up to it while others may go. Those used in this step
  // stay as they are.
  void keep(const kernels::SlotId* slots, std::int64_t count, std::uint32_t step,
            const PlanTime& now);
  // count: [1]: slots that select_victims() would take before any that are used in this step.
  void count_spare(const PlanTime& now, std::uint32_t first_live_lease, std::uint64_t* count);
  // Victims' slots become free. count: [1], at most `most`.
  void release(const kernels::SlotId* slots, const std::uint64_t* count, std::int64_t most);

 private:
  kernels::Backend& backend_;
  kernels::Stream& stream_;
  SlotTierOptions options_;
  TierSlots slots_;
  kernels::DeviceArray<std::uint32_t> hand_;  // [1]: of clock and sieve
};

}  // namespace mneme::offload
