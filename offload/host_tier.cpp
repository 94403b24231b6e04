#include "offload/host_tier.h"

#include <algorithm>
#include <utility>

#include "io/check.h"
#include "offload/mix.h"

namespace mneme::offload {
HostTier::HostTier(kernels::Backend& backend, std::uint64_t bytes, std::size_t record_bytes,
                   kernels::ReplacementKind policy, std::uint64_t seed)
    : policy_(policy), seed_(seed), stride_(slot_bytes(record_bytes)) {
  slots_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes / stride_, 0xfffffff0u));
  if (slots_ > 0) {
    memory_ = backend.allocate(static_cast<std::size_t>(slots_) * stride_,
                               kernels::MemoryKind::kPinnedHost);
  }
  state_.resize(slots_);
  free_.reserve(slots_);
  for (std::uint32_t slot = slots_; slot-- > 0;) free_.push_back(slot);
}

std::uint32_t HostTier::take(kernels::RowId row, bool dirty, std::uint32_t uses, bool prefetched,
                             std::uint64_t protected_until) {
  CHECK(!free_.empty());
  const std::uint32_t slot = free_.back();
  free_.pop_back();
  state_[slot] = {.row = row,
                  .uses = uses,
                  .order = ++arrivals_,
                  .protected_until = protected_until,
                  .occupied = true,
                  .dirty = dirty,
                  .prefetched = prefetched};
  return slot;
}

void HostTier::release(std::uint32_t slot) {
  CHECK(state_[slot].occupied);
  state_[slot].occupied = false;
  free_.push_back(slot);
}

std::uint64_t HostTier::score(const SlotState& state, std::uint32_t slot) const {
  using Kind = kernels::ReplacementKind;
  const std::uint64_t age_order = state.order & ((1ull << 48) - 1);
  std::uint64_t value = age_order;
  switch (policy_) {
    case Kind::kLru:
      break;
    case Kind::kRandom:
      value = mix(seed_ ^ mix(arrivals_ * 0x9e3779b97f4a7c15ull + slot)) >> 16;
      break;
    case Kind::kLfu:
    case Kind::kStaticHot:
      value |= std::uint64_t{std::min<std::uint32_t>(state.uses, 255)} << 48;
      break;
    case Kind::kClock:
    case Kind::kSieve:
      // A row that has come back more than once has been seen again: a second chance.
      if (state.uses > 1) value |= 1ull << 48;
      break;
  }
  if (state.protected_until > tick_) value |= 1ull << 62;
  return value;
}

std::vector<HostVictim> HostTier::victims(std::uint32_t wanted) {
  std::vector<std::pair<std::uint64_t, std::uint32_t>> scored;
  scored.reserve(used());
  for (std::uint32_t slot = 0; slot < slots_; ++slot) {
    if (state_[slot].occupied) scored.emplace_back(score(state_[slot], slot), slot);
  }
  const std::size_t count = std::min<std::size_t>(wanted, scored.size());
  std::nth_element(scored.begin(), scored.begin() + static_cast<std::ptrdiff_t>(count),
                   scored.end());
  scored.resize(count);
  std::sort(scored.begin(), scored.end());
  std::vector<HostVictim> chosen;
  chosen.reserve(count);
  for (const auto& [unused, slot] : scored) {
    chosen.push_back({slot, state_[slot].row, state_[slot].dirty});
  }
  return chosen;
}

std::vector<std::uint32_t> HostTier::dirty_slots() const {
  std::vector<std::uint32_t> slots;
  for (std::uint32_t slot = 0; slot < slots_; ++slot) {
    if (state_[slot].occupied && state_[slot].dirty) slots.push_back(slot);
  }
  return slots;
}

}  // namespace mneme::offload
