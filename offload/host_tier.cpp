#include "offload/host_tier.h"

#include <algorithm>

#include "io/check.h"

namespace mneme::offload {

std::uint32_t HostTier::slots_for(const HostTierOptions& options) {
  // More slots than rows are of no use.
  const std::uint64_t slots = std::min(
      {options.bytes / slot_bytes(options.record_bytes), options.table_rows, TierSlots::kMost});
  return slots < kMinimumSlots ? 0 : static_cast<std::uint32_t>(slots);
}

std::uint64_t HostTier::arena_bytes(const HostTierOptions& options) {
  return std::uint64_t{slots_for(options)} * slot_bytes(options.record_bytes);
}

HostTier::HostTier(kernels::Backend& backend, kernels::Stream& stream,
                   const HostTierOptions& options)
    : backend_(backend),
      stream_(stream),
      options_(options),
      slots_(backend, stream, kernels::Place::kHost, options.locations, slots_for(options),
             options.counts.keeps_uses),
      arena_(backend, slots_.count(), slot_bytes(options.record_bytes)) {
  if (slots() == 0) return;
  hand_ = {backend, 1};
  victim_slots_ = kernels::pinned_array<kernels::SlotId>(backend, kMostVictims);
  victim_rows_ = kernels::pinned_array<kernels::RowId>(backend, kMostVictims);
  victim_state_ = kernels::pinned_array<std::uint8_t>(backend, kMostVictims);
  victim_count_ = kernels::pinned_array<std::uint64_t>(backend, 1);
}

HostVictims HostTier::select_victims(std::int64_t wanted, std::uint32_t lease, std::uint32_t step) {
  CHECK(wanted >= 1 && wanted <= kMostVictims && slots() > 0);
  backend_.select_victims(stream_, slots_.table(),
                          {.kind = options_.policy,
                           .wanted = wanted,
                           .use_counter = lease,
                           .step = step,
                           .first_live_lease = lease,
                           .frequency_decay = options_.counts.decay,
                           .seed = options_.seed,
                           .slots = victim_slots_.data(),
                           .rows = victim_rows_.data(),
                           .state = victim_state_.data(),
                           .count = victim_count_.data(),
                           .hand = hand_.data()});
  stream_.synchronize();
  const std::uint64_t count = victim_count_[0];
  return {
      {victim_slots_.data(), count}, {victim_rows_.data(), count}, {victim_state_.data(), count}};
}

void HostTier::release_victims() {
  backend_.release_slots(stream_, slots_.table(), victim_slots_.data(), victim_count_.data(),
                         static_cast<std::int64_t>(victim_count_[0]));
}

}  // namespace mneme::offload
