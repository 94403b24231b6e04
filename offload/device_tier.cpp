#include "offload/device_tier.h"

#include <algorithm>

#include "io/error.h"

namespace mneme::offload {

using kernels::MemoryKind;

std::uint64_t DeviceTier::slot_bytes(const kernels::RecordLayout& layout, bool keeps_uses) {
  constexpr std::uint64_t kMissingEntry = 4;
  return layout.value_bytes() + 2 * layout.moment_bytes() + (layout.row_state ? 4 : 0) + 4 +
         TierSlots::bytes_per_slot(keeps_uses) + kMissingEntry;
}

DeviceTier::Sizes DeviceTier::sizes_for(const DeviceTierOptions& options) {
  const std::uint64_t record = slot_bytes(options.layout, options.counts.keeps_uses);
  const std::uint64_t minimum = 2 * kMinimumSlots * record;
  if (options.bytes < minimum) {
    io::fail("tiers.device_bytes = {} is too small: rows of width {} need at least {} bytes",
             options.bytes, options.layout.width, minimum);
  }
  const std::uint64_t all = options.bytes / record;
  const auto evaluation = static_cast<std::uint64_t>(
      std::clamp<double>(static_cast<double>(all) * options.evaluation_share, kMinimumSlots,
                         static_cast<double>(all - kMinimumSlots)));
  // More slots than rows are of no use.
  const std::uint64_t most = std::max<std::uint64_t>(options.table_rows, kMinimumSlots);
  return {static_cast<std::uint32_t>(std::min({all - evaluation, most, TierSlots::kMost})),
          static_cast<std::uint32_t>(std::min({evaluation, most, TierSlots::kMost}))};
}

std::uint64_t DeviceTier::arena_bytes(const DeviceTierOptions& options) {
  const Sizes sizes = sizes_for(options);
  return (std::uint64_t{sizes.training} + sizes.evaluation) *
         slot_bytes(options.layout, options.counts.keeps_uses);
}

DeviceTier::DeviceTier(kernels::Backend& backend, kernels::Stream& stream,
                       const DeviceTierOptions& options)
    : backend_(backend),
      stream_(stream),
      options_(options),
      sizes_(sizes_for(options)),
      slots_(backend, stream, kernels::Place::kDevice, options.locations, sizes_.training,
             options.counts.keeps_uses),
      arena_(make_arena(sizes_.training)),
      evaluation_arena_(make_arena(sizes_.evaluation)),
      hand_(backend, 1) {}

kernels::RowArena DeviceTier::make_arena(std::uint64_t slots) {
  const kernels::RecordLayout& layout = options_.layout;
  const auto make = [&](std::uint64_t bytes) {
    buffers_.push_back(backend_.allocate(static_cast<std::size_t>(bytes), MemoryKind::kDevice));
    return buffers_.back().as<std::byte>();
  };
  kernels::RowArena arena;
  arena.layout = layout;
  arena.values = make(slots * layout.value_bytes());
  if (layout.moments) {
    arena.moment1 = make(slots * layout.moment_bytes());
    arena.moment2 = make(slots * layout.moment_bytes());
  }
  if (layout.row_state) arena.row_state = reinterpret_cast<float*>(make(slots * sizeof(float)));
  arena.last_step = reinterpret_cast<std::uint32_t*>(make(slots * sizeof(std::uint32_t)));
  return arena;
}

void DeviceTier::select_victims(std::int64_t wanted, std::uint32_t use_counter, std::uint32_t step,
                                std::uint32_t first_live_lease, const VictimLists& lists) {
  backend_.select_victims(stream_, slots_.table(),
                          {.kind = options_.policy,
                           .wanted = wanted,
                           .use_counter = use_counter,
                           .step = step,
                           .first_live_lease = first_live_lease,
                           .frequency_decay = frequency_decay(),
                           .seed = options_.seed,
                           .slots = lists.slots,
                           .rows = lists.rows,
                           .state = lists.state,
                           .last_used = lists.last_used,
                           .frequency = lists.frequency,
                           .uses = lists.uses,
                           .count = lists.count,
                           .hand = hand_.data()});
}

void DeviceTier::mark_leased(const kernels::SlotId* slots, std::int64_t count,
                             std::uint32_t use_counter) {
  backend_.mark_used(stream_, slots_.table(),
                     {.slots = slots, .count = count, .use_counter = use_counter, .use = false});
}

void DeviceTier::mark_used(const kernels::SlotId* slots, std::int64_t count,
                           std::uint32_t use_counter, std::uint32_t step) {
  backend_.mark_used(stream_, slots_.table(),
                     {.slots = slots,
                      .count = count,
                      .use_counter = use_counter,
                      .step = step,
                      .frequency_decay = frequency_decay()});
}

void DeviceTier::mark_dirty(const kernels::SlotId* slots, std::int64_t count) {
  backend_.mark_used(stream_, slots_.table(),
                     {.slots = slots, .count = count, .use = false, .lease = false, .dirty = true});
}

}  // namespace mneme::offload
