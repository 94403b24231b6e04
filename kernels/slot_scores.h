// Replacement policies as scores, written once for CPU and GPU: every slot that may become a victim
// gets a 64-bit score, and the lowest scores are the victims. clock and sieve also move a hand over
// the slots.
//
// The bit used_now() is set for slots that the current step or a later one uses: they become
// victims only when no others are left.
#pragma once

#include <cstdint>
#include <limits>

#include "kernels/residency_ops.h"
#include "kernels/scalar.h"
#include "kernels/use_history.h"

namespace mneme::kernels::slot_scores {

inline constexpr int kSlotBits = 29;
inline constexpr std::uint64_t kAgeClasses = 1024;
// kReferenced: used since the hand last passed, so that the hand clears that mark first. kWrapped:
// behind the hand, which reaches the slot only after a full round.
inline constexpr std::uint64_t kReferenced = std::uint64_t{1} << 62;
inline constexpr std::uint64_t kWrapped = std::uint64_t{1} << 61;
inline constexpr std::uint64_t kNowhere = std::numeric_limits<std::uint64_t>::max();
inline constexpr std::uint32_t kRandomVictims = 0x76696374;

// Above all other bits of the policy's scores.
constexpr bool is_narrow(ReplacementKind kind) {
  return kind == ReplacementKind::kLru || kind == ReplacementKind::kLfu ||
         kind == ReplacementKind::kBelady;
}
constexpr std::uint64_t used_now(ReplacementKind kind) {
  if (is_narrow(kind)) return kAgeClasses;
  if (kind == ReplacementKind::kRandom) return std::uint64_t{1} << 32;
  return std::uint64_t{1} << 63;
}

// Leases since a slot was used, or another distance, as a class below kAgeClasses: each age below
// 64 has its own, older ones are told apart to one part in 32. Scores of ten bits take one pass to
// select from, those of 32 bits three.
MNEME_HOST_DEVICE std::uint64_t age_class(std::uint32_t age) {
  constexpr std::uint32_t kExact = 64, kFirst = (127 + 6) << 5;
  if (age < kExact) return age;
  // Exponent and the upper five bits behind the leading one.
  return (float_bits(static_cast<float>(age)) >> 18) - kFirst + kExact;
}

constexpr bool has_hand(ReplacementKind kind) {
  return kind == ReplacementKind::kClock || kind == ReplacementKind::kSieve;
}

MNEME_HOST_DEVICE bool may_go(const SlotTable& table, const SelectVictimsArgs& args, SlotId slot) {
  return table.occupied[slot] != 0 && table.leased[slot] < args.first_live_lease;
}

// The place of a slot in the order that a hand follows.
MNEME_HOST_DEVICE std::uint64_t queue_place(const SlotTable& table, ReplacementKind kind,
                                            SlotId slot) {
  const bool by_insertion = kind == ReplacementKind::kSieve && table.inserted != nullptr;
  return (by_insertion ? std::uint64_t{table.inserted[slot]} << kSlotBits : 0) | slot;
}

MNEME_HOST_DEVICE std::uint64_t hand_score(const SlotTable& table, ReplacementKind kind,
                                           SlotId slot, std::uint64_t hand_place) {
  const std::uint64_t place = queue_place(table, kind, slot);
  return (table.referenced[slot] != 0 ? kReferenced : 0) | (place < hand_place ? kWrapped : 0) |
         place;
}

// hand_place: where the hand stands; of no meaning to policies without one.
MNEME_HOST_DEVICE std::uint64_t worth(const SlotTable& table, ReplacementKind kind,
                                      const SelectVictimsArgs& args, SlotId slot,
                                      std::uint64_t hand_place) {
  switch (kind) {
    case ReplacementKind::kLru:
      return kAgeClasses - 1 - age_class(args.use_counter - table.last_used[slot]);
    case ReplacementKind::kLfu: {
      const use_history::UseHistory history = use_history::of_slot(table, slot);
      return kAgeClasses - 1 -
             age_class(use_history::shortfall(history.step, history.uses, args.step));
    }
    case ReplacementKind::kBelady:
      return kAgeClasses - 1 - age_class(args.next_use[table.row_of_slot[slot]] - args.now);
    case ReplacementKind::kStaticHot:
      return std::uint64_t{float_bits(table.uses[slot])} << 32 | ~table.last_used[slot];
    case ReplacementKind::kClock:
    case ReplacementKind::kSieve:
      return hand_score(table, kind, slot, hand_place);
    case ReplacementKind::kRandom:
      return philox4x32_10({{slot, args.use_counter, 0, kRandomVictims}},
                           static_cast<std::uint32_t>(args.seed),
                           static_cast<std::uint32_t>(args.seed >> 32))
          .v[0];
  }
  return 0;
}

// The same among slots that the current step uses.
MNEME_HOST_DEVICE std::uint64_t worth_in_step(const SlotTable& table, ReplacementKind kind,
                                              const SelectVictimsArgs& args, SlotId slot,
                                              std::uint64_t hand_place) {
  if (has_hand(kind) || kind == ReplacementKind::kRandom) {
    return worth(table, kind, args, slot, hand_place);
  }
  if ((table.state[slot] & kHinted) != 0) return kAgeClasses - 1;
  return age_class(args.use_counter - table.last_used[slot]);
}

// Less than kNowhere.
MNEME_HOST_DEVICE std::uint64_t score(const SlotTable& table, ReplacementKind kind,
                                      const SelectVictimsArgs& args, SlotId slot,
                                      std::uint64_t hand_place) {
  if (kind != ReplacementKind::kBelady && table.step_used[slot] >= args.step) {
    return worth_in_step(table, kind, args, slot, hand_place) | used_now(kind);
  }
  return worth(table, kind, args, slot, hand_place);
}

// ---- The hand's way from one victim selection to the next ----

// Whether the hand, on its way to the last victim, clears `referenced` of a slot that may go.
MNEME_HOST_DEVICE bool hand_clears(std::uint64_t slot_score, std::uint64_t last_score) {
  constexpr std::uint64_t kUsedNow = used_now(ReplacementKind::kClock);  // and of sieve
  constexpr std::uint64_t kMask = ~(kUsedNow | kReferenced);
  const bool full_sweep = (last_score & (kUsedNow | kReferenced)) != 0;
  const bool passed = (slot_score & kUsedNow) == 0 && (slot_score & kMask) < (last_score & kMask);
  return full_sweep || passed;
}

// How far behind the last victim the hand finds a slot; kNowhere for a free one. The hand stops at
// the nearest. REQUIRES victims are no longer occupied.
MNEME_HOST_DEVICE std::uint64_t place_after(const SlotTable& table, ReplacementKind kind,
                                            SlotId slot, std::uint64_t last_score) {
  if (table.occupied[slot] == 0) return kNowhere;
  const std::uint64_t last_place = last_score & ~(used_now(kind) | kReferenced | kWrapped);
  const std::uint64_t here = queue_place(table, kind, slot);
  return here > last_place ? here : here | kWrapped;
}

// The slot where a hand stops that found `nearest`; 0 when nothing is left.
MNEME_HOST_DEVICE std::uint32_t hand_at(std::uint64_t nearest) {
  if (nearest == kNowhere) return 0;
  return static_cast<std::uint32_t>(nearest & ((std::uint64_t{1} << kSlotBits) - 1));
}

}  // namespace mneme::kernels::slot_scores
