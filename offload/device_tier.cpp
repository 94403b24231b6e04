#include "offload/device_tier.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "io/check.h"
#include "io/error.h"

namespace mneme::offload {
namespace {

using kernels::MemoryKind;

// Bytes that replacement, the reverse map and the pinned lists take for each slot.
constexpr std::uint64_t kBookkeepingBytes = 28;
// The most slots that backends can count.
constexpr std::uint64_t kMaximumSlots = std::uint64_t{1} << 29;

}  // namespace

std::uint64_t DeviceTier::slot_bytes(const kernels::RecordLayout& layout) {
  return layout.value_bytes() + 2 * layout.moment_bytes() + (layout.row_state ? 4 : 0) + 4 +
         kBookkeepingBytes;
}

DeviceTier::DeviceTier(kernels::Backend& backend, kernels::Stream& stream,
                       const DeviceTierOptions& options)
    : backend_(backend), stream_(stream), options_(options) {
  const std::uint64_t record = slot_bytes(options.layout);
  const std::uint64_t minimum = 2 * kMinimumSlots * record;
  if (options.bytes < minimum) {
    io::fail("tiers.device_bytes = {} is too small: rows of width {} need at least {} bytes",
             options.bytes, options.layout.width, minimum);
  }
  const std::uint64_t all = options.bytes / record;
  evaluation_slots_ = static_cast<std::uint32_t>(
      std::clamp<double>(static_cast<double>(all) * options.evaluation_share, kMinimumSlots,
                         static_cast<double>(all - kMinimumSlots)));
  const std::uint64_t wanted = all - evaluation_slots_;
  // More slots than rows are of no use.
  table_.slots = static_cast<std::uint32_t>(std::min<std::uint64_t>(
      std::min(wanted, std::max<std::uint64_t>(options.table_rows, kMinimumSlots)), kMaximumSlots));
  evaluation_slots_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(
      evaluation_slots_, std::max<std::uint64_t>(options.table_rows, kMinimumSlots)));

  const auto make = [&](std::uint64_t bytes, MemoryKind kind) {
    buffers_.push_back(backend.allocate(static_cast<std::size_t>(bytes), kind));
    return buffers_.back().as<std::byte>();
  };
  const auto make_arena = [&](std::uint64_t slots) {
    kernels::RowArena arena;
    arena.layout = options.layout;
    arena.values = make(slots * options.layout.value_bytes(), MemoryKind::kDevice);
    if (options.layout.moments) {
      arena.moment1 = make(slots * options.layout.moment_bytes(), MemoryKind::kDevice);
      arena.moment2 = make(slots * options.layout.moment_bytes(), MemoryKind::kDevice);
    }
    if (options.layout.row_state) {
      arena.row_state = reinterpret_cast<float*>(make(slots * 4, MemoryKind::kDevice));
    }
    arena.last_step = reinterpret_cast<std::uint32_t*>(make(slots * 4, MemoryKind::kDevice));
    return arena;
  };
  const auto make_u32 = [&](std::uint64_t count, MemoryKind kind) {
    return reinterpret_cast<std::uint32_t*>(make(count * 4, kind));
  };
  arena_ = make_arena(table_.slots);
  evaluation_arena_ = make_arena(evaluation_slots_);
  const std::uint64_t slots = table_.slots;
  table_.slot_of_row = make_u32(options.table_rows, MemoryKind::kDevice);
  table_.row_of_slot = make_u32(slots, MemoryKind::kDevice);
  table_.last_used = make_u32(slots, MemoryKind::kDevice);
  table_.leased = make_u32(slots, MemoryKind::kDevice);
  table_.step_used = make_u32(slots, MemoryKind::kDevice);
  table_.inserted = make_u32(slots, MemoryKind::kDevice);
  table_.frequency = reinterpret_cast<float*>(make(slots * 4, MemoryKind::kDevice));
  table_.dirty = reinterpret_cast<std::uint8_t*>(make(slots, MemoryKind::kDevice));
  table_.referenced = reinterpret_cast<std::uint8_t*>(make(slots, MemoryKind::kDevice));
  table_.occupied = reinterpret_cast<std::uint8_t*>(make(slots, MemoryKind::kDevice));

  const std::uint64_t lists = std::max<std::uint64_t>(slots, evaluation_slots_);
  list_slots_ = make_u32(slots, MemoryKind::kPinnedHost);
  list_rows_ = make_u32(slots, MemoryKind::kPinnedHost);
  list_dirty_ = reinterpret_cast<std::uint8_t*>(make(slots, MemoryKind::kPinnedHost));
  missing_rows_ = make_u32(lists, MemoryKind::kPinnedHost);
  missing_index_ = make_u32(lists, MemoryKind::kPinnedHost);
  counts_ = reinterpret_cast<std::uint64_t*>(make(16, MemoryKind::kPinnedHost));
  hand_ = make_u32(1, MemoryKind::kPinnedHost);

  free_.reserve(slots);
  for (std::uint32_t slot = table_.slots; slot-- > 0;) free_.push_back(slot);
}

float DeviceTier::frequency_decay() const {
  // One unit is one lease; use halves over a few hundred leases, so that lfu follows a drifting hot
  // set. static-hot never forgets, and no other policy asks.
  return options_.policy == kernels::ReplacementKind::kLfu ? 0.998f : 1.0f;
}

MissingRows DeviceTier::lookup(const kernels::RowId* rows, std::int64_t count,
                               kernels::SlotId* slots) {
  backend_.lookup_slots(stream_, table_,
                        {.rows = rows,
                         .count = count,
                         .slots = slots,
                         .missing_rows = missing_rows_,
                         .missing_index = missing_index_,
                         .missing_count = &counts_[0]});
  stream_.synchronize();
  return {{missing_rows_, counts_[0]}, {missing_index_, counts_[0]}};
}

DeviceVictims DeviceTier::evict(std::int64_t wanted, std::uint32_t use_counter, std::uint32_t step,
                                std::uint32_t first_live_lease) {
  backend_.select_victims(stream_, table_,
                          {.kind = options_.policy,
                           .wanted = wanted,
                           .use_counter = use_counter,
                           .step = step,
                           .first_live_lease = first_live_lease,
                           .frequency_decay = frequency_decay(),
                           .seed = options_.seed,
                           .slots = list_slots_,
                           .rows = list_rows_,
                           .dirty = list_dirty_,
                           .count = &counts_[1],
                           .hand = hand_});
  stream_.synchronize();
  return {{list_slots_, counts_[1]}, {list_rows_, counts_[1]}, {list_dirty_, counts_[1]}};
}

void DeviceTier::add_free(std::span<const kernels::SlotId> slots) {
  free_.insert(free_.end(), slots.rbegin(), slots.rend());
}

kernels::SlotId DeviceTier::take_free() {
  CHECK(!free_.empty());
  const kernels::SlotId slot = free_.back();
  free_.pop_back();
  return slot;
}

void DeviceTier::bind(const kernels::RowId* rows, const kernels::SlotId* slots, std::int64_t count,
                      std::uint32_t use_counter) {
  backend_.bind_slots(stream_, table_, rows, slots, count, use_counter);
}

void DeviceTier::mark_leased(const kernels::SlotId* slots, std::int64_t count,
                             std::uint32_t use_counter) {
  backend_.mark_used(stream_, table_,
                     {.slots = slots, .count = count, .use_counter = use_counter, .use = false});
}

void DeviceTier::mark_used(const kernels::SlotId* slots, std::int64_t count,
                           std::uint32_t use_counter, std::uint32_t step) {
  backend_.mark_used(stream_, table_,
                     {.slots = slots,
                      .count = count,
                      .use_counter = use_counter,
                      .step = step,
                      .frequency_decay = frequency_decay()});
}

void DeviceTier::mark_dirty(const kernels::SlotId* slots, std::int64_t count) {
  backend_.mark_used(stream_, table_,
                     {.slots = slots, .count = count, .use = false, .lease = false, .dirty = true});
}

void DeviceTier::clear_dirty(const kernels::SlotId* slots, std::int64_t count) {
  backend_.clear_dirty(stream_, table_, slots, count);
}

DeviceVictims DeviceTier::list_dirty() {
  backend_.list_dirty(stream_, table_, list_slots_, list_rows_, &counts_[1]);
  stream_.synchronize();
  return {{list_slots_, counts_[1]}, {list_rows_, counts_[1]}, {}};
}

}  // namespace mneme::offload
