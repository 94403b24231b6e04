// How many rows the budgets of the tiers hold, and what memory they take, before anything is
// allocated. Exactly what a TieredStore with these options has.
//
//   a slot of the device tier   the row's value, moments, state and last step
//   (mover/device_rows.h);
//                               its slot table (planner/tier_slots.h); its entry in the planner's
//                               list of missing rows
//   a slot of the host tier     the record, rounded up to 64 bytes (mover/mover.h); its slot table
//                               lies in device memory, beside the budget of the device tier
#pragma once

#include <cstdint>

#include "offload/store_options.h"

namespace mneme::offload {

// The least slots on the device: for training, and as many for evaluation.
inline constexpr std::uint32_t kMinimumDeviceSlots = 8;
// A host budget for fewer is no host tier: rows would only pass through it, one by one.
inline constexpr std::uint32_t kMinimumHostSlots = 16;

struct TierSizes {
  std::uint32_t training = 0;    // slots on the device
  std::uint32_t evaluation = 0;  // on the device, for read-only leases
  std::uint32_t host = 0;        // 0: no host tier
};
// Throws Error when the device's budget is below the minimum: how many bytes are needed.
TierSizes tier_sizes(const StoreOptions& options);

// What a slot takes of a tier's budget.
struct SlotBytes {
  std::uint64_t device = 0, host = 0;
};
SlotBytes slot_bytes(const StoreOptions& options);
// Those of the same records with other policies: of both it looks at the policies.
SlotBytes slot_bytes_with(const TierOptions& policies, const SlotBytes& bytes,
                          const TierOptions& had);
// Tier sizes from these alone: for tiers of another run. Of `tiers` it looks at the budgets and at
// evaluation_share.
TierSizes tier_sizes(const SlotBytes& bytes, std::uint64_t rows, const TierOptions& tiers);

// Bytes of device_bytes that one slot takes.
std::uint64_t device_slot_bytes(const StoreOptions& options);
// The smallest device_bytes.
std::uint64_t minimum_device_bytes(const kernels::RecordLayout& layout);
// The device_bytes with which `rows` rows lie in the device tier while they are trained.
std::uint64_t device_bytes_for(const StoreOptions& options, std::uint64_t rows);
// What the tiers take of their memories: a budget, or less where the whole table needs less. Throw
// Error as tier_sizes() does.
std::uint64_t device_tier_bytes(const StoreOptions& options);
std::uint64_t host_tier_bytes(const StoreOptions& options);
// A record's slot in the rows files of a disk that aligns to 512 bytes; some align to 4096.
std::uint64_t disk_slot_bytes(const StoreOptions& options);
// Host memory for records of checkpoints: StoreOptions::save_bytes, or what all rows in memory
// take.
std::uint64_t save_buffer_bytes(const StoreOptions& options);

}  // namespace mneme::offload
