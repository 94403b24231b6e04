#include "offload/host_tier.h"

#include <algorithm>

#include "io/check.h"

namespace mneme::offload {
namespace {

std::uint32_t slots_for(const HostTierOptions& options) {
  // More slots than rows are of no use.
  const std::uint64_t slots = std::min({options.bytes / HostTier::slot_bytes(options.record_bytes),
                                        options.table_rows, TierSlots::kMost});
  return slots < HostTier::kMinimumSlots ? 0 : static_cast<std::uint32_t>(slots);
}

}  // namespace

HostTier::HostTier(kernels::Backend& backend, kernels::Stream& stream,
                   const HostTierOptions& options)
    : backend_(backend),
      stream_(stream),
      options_(options),
      slots_(backend, stream, kernels::Place::kHost, options.locations, slots_for(options),
             options.counts.keeps_uses),
      arena_(backend, slots_.count(), slot_bytes(options.record_bytes)) {
  if (slots() == 0) return;
  hand_ = backend.allocate(sizeof(std::uint32_t), kernels::MemoryKind::kDevice);
  lists_ =
      backend.allocate(sizeof(std::uint64_t) + kMostVictims * 9, kernels::MemoryKind::kPinnedHost);
  victims_.count = lists_.as<std::uint64_t>();
  victims_.slots = reinterpret_cast<kernels::SlotId*>(victims_.count + 1);
  victims_.rows = victims_.slots + kMostVictims;
  victims_.state = reinterpret_cast<std::uint8_t*>(victims_.rows + kMostVictims);
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
                           .slots = victims_.slots,
                           .rows = victims_.rows,
                           .state = victims_.state,
                           .count = victims_.count,
                           .hand = hand_.as<std::uint32_t>()});
  stream_.synchronize();
  const std::uint64_t count = *victims_.count;
  return {{victims_.slots, count}, {victims_.rows, count}, {victims_.state, count}};
}

void HostTier::release_victims() {
  backend_.release_slots(stream_, slots_.table(), victims_.slots, victims_.count,
                         static_cast<std::int64_t>(*victims_.count));
}

}  // namespace mneme::offload
