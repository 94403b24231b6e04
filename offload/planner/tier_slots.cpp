#include "offload/planner/tier_slots.h"

namespace mneme::offload {
namespace {

// Calls visit(array) for each array of a slot table that has an element a slot: what is allocated,
// and what it takes.
template <typename Visit>
void for_each_array(kernels::SlotTable& table, bool keeps_uses, const Visit& visit) {
  visit(table.row_of_slot);
  visit(table.last_used);
  visit(table.leased);
  visit(table.step_used);
  visit(table.inserted);
  visit(table.free_slots);
  visit(table.frequency);
  visit(table.state);
  visit(table.referenced);
  visit(table.occupied);
  if (keeps_uses) visit(table.uses);
}

}  // namespace

std::uint64_t TierSlots::bytes_per_slot(bool keeps_uses) {
  std::uint64_t bytes = 0;
  kernels::SlotTable table;
  for_each_array(table, keeps_uses,
                 [&bytes]<typename T>(T*&) { bytes += std::uint64_t{sizeof(T)}; });
  return bytes;
}

TierSlots::TierSlots(kernels::Backend& backend, kernels::Stream& stream, kernels::Place place,
                     kernels::Location* locations, std::uint32_t slots, bool keeps_uses) {
  table_.place = place;
  table_.locations = locations;
  table_.slots = slots;
  if (slots == 0) return;
  const auto make = [&]<typename T>(T*& array, std::uint64_t count) {
    buffers_.push_back(backend.allocate(static_cast<std::size_t>(count) * sizeof(T),
                                        kernels::MemoryKind::kDevice));
    array = buffers_.back().as<T>();
  };
  for_each_array(table_, keeps_uses, [&]<typename T>(T*& array) { make(array, slots); });
  make(table_.totals, 1);
  backend.reset_slots(stream, table_);
}

}  // namespace mneme::offload
