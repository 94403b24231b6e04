#include "offload/planner/slot_tier.h"

namespace mneme::offload {

SlotTier::SlotTier(kernels::Backend& backend, kernels::Stream& stream,
                   const SlotTierOptions& options)
    : backend_(backend),
      stream_(stream),
      options_(options),
      slots_(backend, stream, options.place, options.locations, options.slots, options.keeps_uses),
      hand_(backend, options.slots > 0 ? 1 : 0) {}

void SlotTier::select_victims(std::int64_t wanted, const PlanTime& now,
                              std::uint32_t first_live_lease, const VictimLists& lists) {
  backend_.select_victims(
      stream_, slots_.table(),
      {.kind = options_.next_use != nullptr ? kernels::ReplacementKind::kBelady : options_.policy,
       .wanted = wanted,
       .use_counter = now.lease,
       .step = now.step,
       .first_live_lease = first_live_lease,
       .seed = options_.seed,
       .next_use = options_.next_use,
       .now = now.next_use,
       .slots = lists.slots,
       .rows = lists.rows,
       .state = lists.state,
       .last_used = lists.last_used,
       .step_used = lists.step_used,
       .frequency = lists.frequency,
       .uses = lists.uses,
       .count = lists.count,
       .hand = hand_.data()});
}

void SlotTier::mark_leased(const kernels::SlotId* slots, std::int64_t count, std::uint32_t lease) {
  backend_.mark_used(stream_, slots_.table(),
                     {.slots = slots, .count = count, .use_counter = lease, .use = false});
}

void SlotTier::mark_used(const kernels::SlotId* slots, std::int64_t count, const PlanTime& now) {
  backend_.mark_used(stream_, slots_.table(),
                     {.slots = slots, .count = count, .use_counter = now.lease, .step = now.step});
}

void SlotTier::mark_dirty(const kernels::SlotId* slots, std::int64_t count) {
  backend_.mark_used(stream_, slots_.table(),
                     {.slots = slots, .count = count, .use = false, .lease = false, .dirty = true});
}

void SlotTier::keep(const kernels::SlotId* slots, std::int64_t count, std::uint32_t step,
                    const PlanTime& now) {
  backend_.mark_used(
      stream_, slots_.table(),
      {.slots = slots, .count = count, .step = step, .keep = true, .unkept_before = now.step});
}

void SlotTier::count_spare(const PlanTime& now, std::uint32_t first_live_lease,
                           std::uint64_t* count) {
  backend_.count_spare_slots(
      stream_, slots_.table(),
      {.step = now.step, .first_live_lease = first_live_lease, .count = count});
}

void SlotTier::release(const kernels::SlotId* slots, const std::uint64_t* count,
                       std::int64_t most) {
  backend_.release_slots(stream_, slots_.table(), slots, count, most);
}

}  // namespace mneme::offload
