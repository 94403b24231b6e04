#include "offload/tier_sizes.h"

#include <algorithm>

#include "io/error.h"
#include "io/record_file.h"
#include "io/round_up.h"
#include "offload/mover/mover.h"
#include "offload/planner/tier_slots.h"

namespace mneme::offload {
namespace {

std::uint64_t device_bytes_of_slot(const kernels::RecordLayout& layout, bool keeps_uses) {
  constexpr std::uint64_t kMissingEntry = sizeof(std::uint32_t);
  return Mover::device_slot_bytes(layout) + TierSlots::bytes_per_slot(keeps_uses) + kMissingEntry;
}

std::uint32_t host_slots(const SlotBytes& bytes, std::uint64_t rows, const TierOptions& tiers) {
  // More slots than rows are of no use.
  const std::uint64_t slots = std::min({tiers.host_bytes / bytes.host, rows, TierSlots::kMost});
  return slots < kMinimumHostSlots ? 0 : static_cast<std::uint32_t>(slots);
}

}  // namespace

std::uint64_t device_slot_bytes(const StoreOptions& options) {
  const TierOptions& tiers = options.tiers;
  return device_bytes_of_slot(options.layout, keeps_uses(tiers.device_policy, tiers.host_policy));
}

SlotBytes slot_bytes(const StoreOptions& options) {
  return {device_slot_bytes(options), Mover::host_slot_bytes(options.layout)};
}

SlotBytes slot_bytes_with(const TierOptions& policies, const SlotBytes& bytes,
                          const TierOptions& had) {
  const auto table_bytes = [](const TierOptions& tiers) {
    return TierSlots::bytes_per_slot(keeps_uses(tiers.device_policy, tiers.host_policy));
  };
  return {bytes.device - table_bytes(had) + table_bytes(policies), bytes.host};
}

TierSizes tier_sizes(const StoreOptions& options) {
  const TierOptions& tiers = options.tiers;
  const std::uint64_t minimum = 2 * kMinimumDeviceSlots * device_slot_bytes(options);
  if (tiers.device_bytes < minimum) {
    io::fail("tiers.device_bytes = {} is too small: rows of width {} need at least {} bytes",
             tiers.device_bytes, options.layout.parts[0].columns.count, minimum);
  }
  return tier_sizes(slot_bytes(options), options.rows, tiers);
}

TierSizes tier_sizes(const SlotBytes& bytes, std::uint64_t rows, const TierOptions& tiers) {
  const std::uint64_t all = tiers.device_bytes / bytes.device;
  if (all < 2 * kMinimumDeviceSlots) {
    io::fail("a device tier of {} bytes is too small: {} slots need at least {} bytes",
             tiers.device_bytes, 2 * kMinimumDeviceSlots, 2 * kMinimumDeviceSlots * bytes.device);
  }
  const auto evaluation = static_cast<std::uint64_t>(
      std::clamp<double>(static_cast<double>(all) * tiers.evaluation_share, kMinimumDeviceSlots,
                         static_cast<double>(all - kMinimumDeviceSlots)));
  // More slots than rows are of no use.
  const std::uint64_t most = std::max<std::uint64_t>(rows, kMinimumDeviceSlots);
  return {static_cast<std::uint32_t>(std::min({all - evaluation, most, TierSlots::kMost})),
          static_cast<std::uint32_t>(std::min({evaluation, most, TierSlots::kMost})),
          host_slots(bytes, rows, tiers)};
}

std::uint64_t minimum_device_bytes(const kernels::RecordLayout& layout) {
  return 2 * kMinimumDeviceSlots * device_bytes_of_slot(layout, false);
}

std::uint64_t device_bytes_for(const StoreOptions& options, std::uint64_t rows) {
  const double training =
      static_cast<double>(rows) / (1 - std::min(options.tiers.evaluation_share, 0.99));
  return (static_cast<std::uint64_t>(training) + 1 + kMinimumDeviceSlots) *
         device_slot_bytes(options);
}

std::uint64_t device_tier_bytes(const StoreOptions& options) {
  const TierSizes sizes = tier_sizes(options);
  return (std::uint64_t{sizes.training} + sizes.evaluation) * device_slot_bytes(options);
}

std::uint64_t host_tier_bytes(const StoreOptions& options) {
  return host_slots(slot_bytes(options), options.rows, options.tiers) *
         Mover::host_slot_bytes(options.layout);
}

std::uint64_t disk_slot_bytes(const StoreOptions& options) {
  constexpr std::uint64_t kAlignment = 512;
  return io::round_up(io::RecordFile::kPayloadOffset + options.layout.record_bytes(), kAlignment);
}

std::uint64_t save_buffer_bytes(const StoreOptions& options) {
  if (options.read_only) return 0;
  const TierSizes sizes = tier_sizes(options);
  const std::uint64_t slots = std::uint64_t{sizes.training} + sizes.host;
  const std::uint64_t record_bytes = options.layout.record_bytes() + io::RecordFile::kPayloadOffset;
  return std::min(options.save_bytes, slots * record_bytes);
}

}  // namespace mneme::offload
