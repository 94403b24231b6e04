// The warm tier: records in pinned host memory, each one contiguous, so that one transfer moves a
// row. Its slot table lies on the device beside the device tier's, and moves between the two are
// planned there; the host is asked only when rows have to leave for the disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "offload/device_tier.h"
#include "offload/host_arena.h"
#include "offload/tier_slots.h"
#include "offload/use_counts.h"

namespace mneme::offload {

struct HostTierOptions {
  std::uint64_t table_rows = 0;
  kernels::Location* locations = nullptr;
  std::uint64_t bytes = 0;
  std::size_t record_bytes = 0;
  kernels::ReplacementKind policy = kernels::ReplacementKind::kLru;
  UseCounts counts;
  std::uint64_t seed = 0;
};

// Host memory of the caller's until the next choice.
struct HostVictims {
  std::span<const kernels::SlotId> slots;
  std::span<const kernels::RowId> rows;
  std::span<const std::uint8_t> state;
};

class HostTier {
 public:
  // A budget for fewer is no host tier: rows would only pass through it, one by one.
  static constexpr std::uint32_t kMinimumSlots = 16;
  // The most victims of one choice.
  static constexpr std::int64_t kMostVictims = 65536;
  // Bytes of the budget that one record takes.
  static std::size_t slot_bytes(std::size_t record_bytes) { return (record_bytes + 63) / 64 * 64; }
  // Slots that a budget holds; 0 for no host tier.
  static std::uint32_t slots_for(const HostTierOptions& options);

  // The pinned host memory that the records take: the budget, or less where the table is smaller.
  static std::uint64_t arena_bytes(const HostTierOptions& options);

  HostTier(kernels::Backend& backend, kernels::Stream& stream, const HostTierOptions& options);

  std::uint32_t slots() const { return slots_.count(); }
  const kernels::SlotTable& table() const { return slots_.table(); }
  const kernels::HostRecords& records() const { return arena_.records(); }
  std::byte* record(kernels::SlotId slot) const { return arena_.record(slot); }

  // Takes up to `wanted` slots, worth least, from their rows, none that the lease `lease` wants,
  // prefetched ones for later steps only when nothing else is left. Synchronises. Their records
  // stay as they are until release_victims. REQUIRES wanted <= kMostVictims.
  HostVictims select_victims(std::int64_t wanted, std::uint32_t lease, std::uint32_t step);
  // Makes the slots of the last choice free.
  void release_victims();

 private:
  kernels::Backend& backend_;
  kernels::Stream& stream_;
  HostTierOptions options_;
  TierSlots slots_;
  HostArena arena_;
  kernels::DeviceArray<std::uint32_t> hand_;  // [1]
  // The victims of one choice; pinned host.
  kernels::DeviceArray<kernels::SlotId> victim_slots_;
  kernels::DeviceArray<kernels::RowId> victim_rows_;
  kernels::DeviceArray<std::uint8_t> victim_state_;
  kernels::DeviceArray<std::uint64_t> victim_count_;  // [1]
};

}  // namespace mneme::offload
