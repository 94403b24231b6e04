// The hot tier: rows as structure of arrays by slot in device memory, the map row -> slot, and what
// replacement knows of each slot. A part of the arena is set aside for read-only leases.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"

namespace mneme::offload {

// Rows of one lease that the arena does not hold, with their place in the lease.
struct MissingRows {
  std::span<const kernels::RowId> rows;  // ascending
  std::span<const std::uint32_t> lease_index;
};

struct DeviceVictims {
  std::span<const kernels::SlotId> slots;
  std::span<const kernels::RowId> rows;
  std::span<const std::uint8_t> dirty;
};

struct DeviceTierOptions {
  std::uint64_t table_rows = 0;
  std::uint64_t bytes = 0;
  double evaluation_share = 0;
  kernels::RecordLayout layout;
  kernels::ReplacementKind policy = kernels::ReplacementKind::kLru;
  std::uint64_t seed = 0;
};

class DeviceTier {
 public:
  static constexpr std::uint32_t kMinimumSlots = 8;  // for training, and as many for evaluation
  // Device memory of one slot: value, moments, state, step, and replacement data.
  static std::uint64_t slot_bytes(const kernels::RecordLayout& layout);

  DeviceTier(kernels::Backend& backend, kernels::Stream& stream, const DeviceTierOptions& options);

  std::uint32_t slots() const { return table_.slots; }
  std::uint32_t free_slots() const { return static_cast<std::uint32_t>(free_.size()); }
  std::uint32_t evaluation_slots() const { return evaluation_slots_; }
  const kernels::RowArena& arena() const { return arena_; }
  const kernels::RowArena& evaluation_arena() const { return evaluation_arena_; }

  // Fills slots [count] for rows (device, ascending) and lists what is missing. Synchronises.
  MissingRows lookup(const kernels::RowId* rows, std::int64_t count, kernels::SlotId* slots);
  // Frees up to `wanted` slots that no live lease holds. Their records stay readable
  // until other rows are bound to them by later work on the stream. Synchronises.
  DeviceVictims evict(std::int64_t wanted, std::uint32_t use_counter, std::uint32_t step,
                      std::uint32_t first_live_lease);
  void add_free(std::span<const kernels::SlotId> slots);
  // REQUIRES free_slots() > 0.
  kernels::SlotId take_free();
  // rows, slots: pinned host or device memory that stays as it is until the stream has run.
  void bind(const kernels::RowId* rows, const kernels::SlotId* slots, std::int64_t count,
            std::uint32_t use_counter);
  // kNoSlot entries of slots are skipped. A lease protects slots; a use counts for replacement.
  void mark_leased(const kernels::SlotId* slots, std::int64_t count, std::uint32_t use_counter);
  void mark_used(const kernels::SlotId* slots, std::int64_t count, std::uint32_t use_counter,
                 std::uint32_t step);
  void mark_dirty(const kernels::SlotId* slots, std::int64_t count);
  void clear_dirty(const kernels::SlotId* slots, std::int64_t count);
  // Occupied dirty slots and their rows, ascending by slot. Synchronises.
  DeviceVictims list_dirty();

 private:
  float frequency_decay() const;

  kernels::Backend& backend_;
  kernels::Stream& stream_;
  DeviceTierOptions options_;
  kernels::RowArena arena_;
  kernels::RowArena evaluation_arena_;
  std::uint32_t evaluation_slots_ = 0;
  kernels::SlotTable table_;
  std::vector<kernels::Buffer> buffers_;
  std::vector<kernels::SlotId> free_;
  // Pinned lists shared by lookup, evict and list_dirty; lookup's are separate.
  kernels::SlotId* list_slots_ = nullptr;
  kernels::RowId* list_rows_ = nullptr;
  std::uint8_t* list_dirty_ = nullptr;
  kernels::RowId* missing_rows_ = nullptr;
  std::uint32_t* missing_index_ = nullptr;
  std::uint64_t* counts_ = nullptr;  // [0] missing, [1] listed
  std::uint32_t* hand_ = nullptr;
};

}  // namespace mneme::offload
