#include "offload/tier_slots.h"

namespace mneme::offload {

TierSlots::TierSlots(kernels::Backend& backend, kernels::Stream& stream, kernels::Place place,
                     kernels::Location* locations, std::uint32_t slots, bool keeps_uses) {
  const auto make = [&]<typename T>(T*& array, std::uint64_t count) {
    buffers_.push_back(backend.allocate(static_cast<std::size_t>(count) * sizeof(T),
                                        kernels::MemoryKind::kDevice));
    array = buffers_.back().as<T>();
  };
  table_.place = place;
  table_.locations = locations;
  table_.slots = slots;
  if (slots == 0) return;
  make(table_.row_of_slot, slots);
  make(table_.last_used, slots);
  make(table_.leased, slots);
  make(table_.step_used, slots);
  make(table_.inserted, slots);
  make(table_.free_slots, slots);
  make(table_.frequency, slots);
  make(table_.state, slots);
  make(table_.referenced, slots);
  make(table_.occupied, slots);
  if (keeps_uses) make(table_.uses, slots);
  make(table_.totals, 1);
  backend.reset_slots(stream, table_);
}

}  // namespace mneme::offload
