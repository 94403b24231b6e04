// Operation select_victims of the CPU backend: a 64-bit score for each slot that may go, a radix
// select of the lowest, and the bookkeeping of the hand for clock and sieve.
#include <thrust/functional.h>
#include <thrust/transform_reduce.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/narrow_scores.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/thrust_policy.h"
#include "kernels/slot_scores.h"
#include "kernels/slot_updates.h"

namespace mneme::kernels::cpu {
namespace {

constexpr std::int64_t kSlotsPerTask = 8192;

struct MayGo {
  SlotTable table;
  SelectVictimsArgs args;
  bool operator()(std::uint32_t slot) const { return slot_scores::may_go(table, args, slot); }
};

// One digit of a radix select: how many of the scores that agree with `prefix` in the bits above
// have each value of the digit.
constexpr int kDigitBits = 11;
constexpr std::int64_t kDigits = std::int64_t{1} << kDigitBits;

void count_digits(const std::uint64_t* scores, std::int64_t count, std::uint64_t prefix, int shift,
                  std::uint32_t* chunk_counts, std::int64_t* totals) {
  const std::int64_t chunk = std::max<std::int64_t>(kSlotsPerTask, (count + 15) / 16);
  const std::int64_t chunks = chunk_count(count, chunk);
  const std::uint64_t above = shift + kDigitBits >= 64 ? 0
                                                       : std::numeric_limits<std::uint64_t>::max()
                                                             << (shift + kDigitBits);
  parallel_tasks(chunks, [=](std::int64_t index) {
    std::uint32_t* counts = chunk_counts + index * kDigits;
    std::memset(counts, 0, sizeof(std::uint32_t) * kDigits);
    for (std::int64_t i = index * chunk; i < std::min(count, (index + 1) * chunk); ++i) {
      if (((scores[i] ^ prefix) & above) == 0) ++counts[(scores[i] >> shift) & (kDigits - 1)];
    }
  });
  for (std::int64_t digit = 0; digit < kDigits; ++digit) {
    totals[digit] = 0;
    for (std::int64_t c = 0; c < chunks; ++c) totals[digit] += chunk_counts[c * kDigits + digit];
  }
}

struct Threshold {
  std::uint64_t score = 0;  // the wanted-th lowest score
  std::int64_t equal = 0;   // how many of that very score are wanted
};

// REQUIRES 1 <= wanted <= count.
Threshold find_threshold(const std::uint64_t* scores, std::int64_t count, std::int64_t wanted,
                         Scratch& scratch) {
  auto* chunk_counts = scratch.take<std::uint32_t>(16 * kDigits);
  auto* totals = scratch.take<std::int64_t>(kDigits);
  Threshold threshold{0, wanted};
  for (int shift = 55; shift >= 0; shift -= kDigitBits) {
    count_digits(scores, count, threshold.score, shift, chunk_counts, totals);
    std::int64_t digit = 0;
    while (totals[digit] < threshold.equal) threshold.equal -= totals[digit++];
    threshold.score |= static_cast<std::uint64_t>(digit) << shift;
  }
  return threshold;
}

struct Below {
  const std::uint64_t* scores;
  std::uint64_t limit;
  bool operator()(std::uint32_t i) const { return scores[i] < limit; }
};
struct Equal {
  const std::uint64_t* scores;
  std::uint64_t limit;
  bool operator()(std::uint32_t i) const { return scores[i] == limit; }
};

struct PlaceAfter {
  SlotTable table;
  ReplacementKind kind;
  std::uint64_t last_score;
  std::uint64_t operator()(std::uint32_t slot) const {
    return slot_scores::place_after(table, kind, slot, last_score);
  }
};

// The hand has swept up to the last victim: it clears what it passed and stops behind it.
// REQUIRES the victims are still bound in `table` but no longer occupied.
void move_hand(const SlotTable& table, const SelectVictimsArgs& args,
               const std::uint32_t* candidates, const std::uint64_t* scores, std::int64_t count,
               std::uint64_t last_score) {
  parallel_chunks(count, kSlotsPerTask, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      if (slot_scores::hand_clears(scores[i], last_score)) table.referenced[candidates[i]] = 0;
    }
  });
  const thrust::counting_iterator<std::uint32_t> slots(0);
  *args.hand = slot_scores::hand_at(thrust::transform_reduce(
      kPolicy, slots, slots + table.slots, PlaceAfter{table, args.kind, last_score},
      slot_scores::kNowhere, thrust::minimum<std::uint64_t>()));
}

// Unbinds the victims and lists them.
void unbind(const SlotTable& table, const SelectVictimsArgs& args, const SlotId* victims,
            std::int64_t count) {
  std::uint64_t wasted = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const SlotId slot = victims[i];
    const RowId row = table.row_of_slot[slot];
    args.slots[i] = slot;
    args.rows[i] = row;
    args.state[i] = table.state[slot];
    if (args.last_used != nullptr) args.last_used[i] = table.last_used[slot];
    if (args.step_used != nullptr) args.step_used[i] = table.step_used[slot];
    if (args.frequency != nullptr) args.frequency[i] = table.frequency[slot];
    if (args.uses != nullptr) args.uses[i] = table.uses[slot];
    wasted += (table.state[slot] & kPrefetched) != 0 ? 1 : 0;
    // Rows lie anywhere in the table.
    if (i + kPrefetchAhead < count) {
      __builtin_prefetch(&table.locations[table.row_of_slot[victims[i + kPrefetchAhead]]], 1);
    }
    if (i + 2 * kPrefetchAhead < count) {
      const SlotId ahead = victims[i + 2 * kPrefetchAhead];
      __builtin_prefetch(&table.row_of_slot[ahead]);
      __builtin_prefetch(&table.state[ahead]);
      __builtin_prefetch(&table.occupied[ahead], 1);
    }
    slot_updates::unbind(table, row, slot, table.state[slot]);
  }
  table.totals->prefetch_wasted += wasted;
  *args.count = static_cast<std::uint64_t>(count);
}

narrow_scores::Victims narrow_victims(const SlotTable& table, const SelectVictimsArgs& args,
                                      Scratch& scratch) {
  switch (args.kind) {
    case ReplacementKind::kLfu:
      return narrow_scores::select<ReplacementKind::kLfu>(table, args, scratch);
    case ReplacementKind::kBelady:
      return narrow_scores::select<ReplacementKind::kBelady>(table, args, scratch);
    default:
      return narrow_scores::select<ReplacementKind::kLru>(table, args, scratch);
  }
}

void select(const SlotTable& table, const SelectVictimsArgs& args, Scratch& scratch) {
  *args.count = 0;
  if (slot_scores::is_narrow(args.kind)) {
    const narrow_scores::Victims victims = narrow_victims(table, args, scratch);
    unbind(table, args, victims.slots, victims.count);
    return;
  }
  auto* candidates = scratch.take<std::uint32_t>(table.slots);
  const std::int64_t count = select_indices(table.slots, candidates, MayGo{table, args});
  const std::int64_t wanted = std::min(args.wanted, count);
  if (wanted == 0) return;

  const bool has_hand = slot_scores::has_hand(args.kind);
  const std::uint64_t hand_place =
      has_hand ? slot_scores::queue_place(table, args.kind, *args.hand % table.slots) : 0;
  auto* scores = scratch.take<std::uint64_t>(count);
  parallel_chunks(count, kSlotsPerTask, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      scores[i] = slot_scores::score(table, args.kind, args, candidates[i], hand_place);
    }
  });

  // The indices below the threshold, then the first ones at it.
  const Threshold threshold = find_threshold(scores, count, wanted, scratch);
  auto* chosen = scratch.take<std::uint32_t>(count + 1);
  const std::int64_t below = select_indices(count, chosen, Below{scores, threshold.score});
  CHECK(below + threshold.equal == wanted);
  auto* equal = scratch.take<std::uint32_t>(count);
  select_indices(count, equal, Equal{scores, threshold.score});
  std::memcpy(chosen + below, equal, static_cast<std::size_t>(threshold.equal) * 4);
  for (std::int64_t i = 0; i < wanted; ++i) chosen[i] = candidates[chosen[i]];
  unbind(table, args, chosen, wanted);
  if (has_hand) move_hand(table, args, candidates, scores, count, threshold.score);
}

}  // namespace

void CpuBackend::select_victims(Stream& stream, const SlotTable& table,
                                const SelectVictimsArgs& args) {
  CHECK(table.slots >= 1 && slot_updates::is_table(table));
  CHECK(args.wanted >= 0 && args.slots != nullptr && args.rows != nullptr &&
        args.state != nullptr && args.count != nullptr);
  CHECK((args.uses == nullptr && args.kind != ReplacementKind::kStaticHot) ||
        table.uses != nullptr);
  CHECK(args.kind != ReplacementKind::kBelady || args.next_use != nullptr);
  CHECK(args.hand != nullptr || !slot_scores::has_hand(args.kind));
  on(stream).enqueue([=](Scratch& scratch) { select(table, args, scratch); });
}

}  // namespace mneme::kernels::cpu
