#include "offload/planner/tier_slots.h"

#include "io/round_up.h"

namespace mneme::offload {
namespace {

// The arrays of a table lie in one buffer, so that large ones have huge pages. A row's entries are
// at the same index of each: the gap keeps them out of the same set of a cache.
constexpr std::uint64_t kAlignment = 256, kGap = 256;

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

// Sets the arrays to where they lie in a buffer at `start`. How long it is.
std::uint64_t lay_out(kernels::SlotTable& table, bool keeps_uses, std::byte* start) {
  std::uint64_t used = 0;
  const auto place = [&]<typename T>(T*& array, std::uint64_t count) {
    if (start != nullptr) array = reinterpret_cast<T*>(start + used);
    used += io::round_up(count * sizeof(T), kAlignment) + kGap;
  };
  for_each_array(table, keeps_uses, [&]<typename T>(T*& array) { place(array, table.slots); });
  place(table.totals, 1);
  return used;
}

}  // namespace

std::uint64_t TierSlots::bytes_per_slot(bool keeps_uses) {
  std::uint64_t bytes = 0;
  kernels::SlotTable table;
  for_each_array(table, keeps_uses,
                 [&bytes]<typename T>(T*&) { bytes += std::uint64_t{sizeof(T)}; });
  return bytes;
}

std::uint64_t TierSlots::bytes(std::uint32_t slots, bool keeps_uses) {
  kernels::SlotTable table;
  table.slots = slots;
  return slots == 0 ? 0 : lay_out(table, keeps_uses, nullptr);
}

TierSlots::TierSlots(kernels::Backend& backend, kernels::Stream& stream, kernels::Place place,
                     kernels::Location* locations, std::uint32_t slots, bool keeps_uses) {
  table_.place = place;
  table_.locations = locations;
  table_.slots = slots;
  if (slots == 0) return;
  buffer_ = backend.allocate(bytes(slots, keeps_uses), kernels::MemoryKind::kDevice);
  lay_out(table_, keeps_uses, buffer_.as<std::byte>());
  backend.reset_slots(stream, table_);
}

}  // namespace mneme::offload
