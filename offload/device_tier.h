// The hot tier: rows as structure of arrays by slot in device memory, with their slot table and
// replacement. A part of the arena is set aside for read-only leases.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "offload/tier_slots.h"
#include "offload/use_counts.h"

namespace mneme::offload {

struct DeviceTierOptions {
  std::uint64_t table_rows = 0;
  kernels::Location* locations = nullptr;
  std::uint64_t bytes = 0;
  double evaluation_share = 0;
  kernels::RecordLayout layout;
  kernels::ReplacementKind policy = kernels::ReplacementKind::kLru;
  UseCounts counts;
  std::uint64_t seed = 0;
};

// The lists that a choice of victims fills; device or pinned host memory.
struct VictimLists {
  kernels::SlotId* slots = nullptr;
  kernels::RowId* rows = nullptr;
  std::uint8_t* state = nullptr;
  std::uint32_t* last_used = nullptr;  // or null
  float* frequency = nullptr;          // or null
  float* uses = nullptr;               // or null
  std::uint64_t* count = nullptr;      // [1]
};

class DeviceTier {
 public:
  static constexpr std::uint32_t kMinimumSlots = 8;  // for training, and as many for evaluation
  // Device memory of one slot: value, moments, state, step, the slot table, and its place in the
  // plan's list of missing rows.
  static std::uint64_t slot_bytes(const kernels::RecordLayout& layout, bool keeps_uses = false);

  // Slots that a budget holds. Throws Error when it is below the minimum.
  struct Sizes {
    std::uint32_t training = 0, evaluation = 0;
  };
  static Sizes sizes_for(const DeviceTierOptions& options);

  // The device memory that the slots take: the budget, or less where the table is smaller. Throws
  // Error as sizes_for() does.
  static std::uint64_t arena_bytes(const DeviceTierOptions& options);

  // Throws Error as sizes_for() does.
  DeviceTier(kernels::Backend& backend, kernels::Stream& stream, const DeviceTierOptions& options);

  std::uint32_t slots() const { return slots_.count(); }
  const kernels::SlotTable& table() const { return slots_.table(); }
  std::uint32_t evaluation_slots() const { return sizes_.evaluation; }
  const kernels::RowArena& arena() const { return arena_; }
  const kernels::RowArena& evaluation_arena() const { return evaluation_arena_; }
  float frequency_decay() const { return options_.counts.decay; }

  // Queues the choice of up to `wanted` victims that no live lease holds. Their records stay
  // readable until their slots are bound to other rows.
  void select_victims(std::int64_t wanted, std::uint32_t use_counter, std::uint32_t step,
                      std::uint32_t first_live_lease, const VictimLists& lists);
  // kNoSlot entries of slots are skipped. A lease protects slots; a use counts for replacement.
  void mark_leased(const kernels::SlotId* slots, std::int64_t count, std::uint32_t use_counter);
  void mark_used(const kernels::SlotId* slots, std::int64_t count, std::uint32_t use_counter,
                 std::uint32_t step);
  void mark_dirty(const kernels::SlotId* slots, std::int64_t count);

 private:
  kernels::RowArena make_arena(std::uint64_t slots);

  kernels::Backend& backend_;
  kernels::Stream& stream_;
  DeviceTierOptions options_;
  Sizes sizes_;
  TierSlots slots_;
  std::vector<kernels::Buffer> buffers_;
  kernels::RowArena arena_;
  kernels::RowArena evaluation_arena_;
  kernels::DeviceArray<std::uint32_t> hand_;  // [1]
};

}  // namespace mneme::offload
