// Visiting rows in the order of their slots: memory that lies together is touched together, which
// halves the time of operations that stream through rows (fewer page walks). Rows are independent
// of each other there, so the order changes no result.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "kernels/cpu/row_math.h"
#include "kernels/cpu/scratch.h"
#include "kernels/row_ops.h"

namespace mneme::kernels::cpu {

// The indices 0 .. count - 1 sorted by slots[index], to within a few hundred slots.
inline const std::uint32_t* order_by_slot(const SlotId* slots, std::int64_t count,
                                          Scratch& scratch) {
  constexpr int kBucketBits = 13;
  auto* order = scratch.take<std::uint32_t>(count);
  auto* next = scratch.take<std::uint32_t>((1 << kBucketBits) + 1);
  SlotId highest = 0;
  for (std::int64_t i = 0; i < count; ++i) highest = std::max(highest, slots[i]);
  const int shift = std::max(0, static_cast<int>(std::bit_width(highest)) - kBucketBits);
  std::fill(next, next + (1 << kBucketBits) + 1, 0u);
  for (std::int64_t i = 0; i < count; ++i) ++next[(slots[i] >> shift) + 1];
  for (int bucket = 0; bucket < 1 << kBucketBits; ++bucket) next[bucket + 1] += next[bucket];
  for (std::int64_t i = 0; i < count; ++i) {
    order[next[slots[i] >> shift]++] = static_cast<std::uint32_t>(i);
  }
  return order;
}

// Rows that a thread updates one after the other.
inline constexpr std::int64_t kUpdateBatch = 64;
// Of them, how far ahead of the row in hand lines are asked for.
inline constexpr std::int64_t kUpdateRowsAhead = 4;

// A row that will be updated. Its memory is asked for while a row before it is worked on, piece by
// piece, so that reads are under way all the time and never more than the core can have.
template <typename Value, typename Moment>
struct ComingRow {
  Value* value;
  Moment* moment1 = nullptr;  // null: none
  Moment* moment2 = nullptr;

  ComingRow(const ArenaPart& part, SlotId slot)
      : value(row_of<Value>(part.arrays.values, slot, part.width())) {
    if (!part.layout.moments) return;
    moment1 = row_of<Moment>(part.arrays.moment1, slot, part.width());
    moment2 = row_of<Moment>(part.arrays.moment2, slot, part.width());
  }
  MNEME_INLINE void prefetch(std::int64_t column, std::int64_t count) const {
    prefetch_bytes_to_write(value + column, count * static_cast<std::int64_t>(sizeof(Value)));
    if (moment1 == nullptr) return;
    prefetch_bytes_to_write(moment1 + column, count * static_cast<std::int64_t>(sizeof(Moment)));
    prefetch_bytes_to_write(moment2 + column, count * static_cast<std::int64_t>(sizeof(Moment)));
  }
};

}  // namespace mneme::kernels::cpu
