#include "offload/mover/device_rows.h"

namespace mneme::offload {
namespace {

// Calls visit(array, bytes of a slot) for each array of an arena.
template <typename Visit>
void for_each_array(kernels::RowArena& arena, const Visit& visit) {
  for (int i = 0; i < arena.layout.part_count; ++i) {
    const kernels::PartLayout& layout = arena.layout.parts[i];
    kernels::PartArrays& part = arena.parts[i];
    visit(part.values, layout.value_bytes());
    if (layout.moments) {
      visit(part.moment1, layout.moment_bytes());
      visit(part.moment2, layout.moment_bytes());
    }
    if (layout.gradient) visit(part.gradient, layout.gradient_bytes());
    if (layout.sum) visit(part.sums, sizeof(*part.sums));
  }
  visit(arena.last_step, sizeof(*arena.last_step));
  if (arena.layout.has_moments()) visit(arena.moment_lag, sizeof(*arena.moment_lag));
}

}  // namespace

std::uint64_t DeviceRows::bytes_per_slot(const kernels::RecordLayout& layout) {
  kernels::RowArena arena;
  arena.layout = layout;
  std::uint64_t sum = 0;
  for_each_array(arena, [&sum](auto&, std::uint64_t bytes) { sum += bytes; });
  return sum;
}

DeviceRows::DeviceRows(kernels::Backend& backend, const kernels::RecordLayout& layout,
                       std::uint64_t slots) {
  arena_.layout = layout;
  for_each_array(arena_, [&]<typename T>(T*& array, std::uint64_t bytes) {
    buffers_.push_back(
        backend.allocate(static_cast<std::size_t>(slots * bytes), kernels::MemoryKind::kDevice));
    array = static_cast<T*>(buffers_.back().as<void>());
  });
}

}  // namespace mneme::offload
