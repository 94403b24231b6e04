// How often a row was used lately, as replacement by frequency (lfu) and demotion know it; written
// once for CPU and GPU, with IEEE operations only, so that every backend chooses the same victims.
//
// Uses are counted once a step, however many leases of the step read the row, and a use loses half
// of its weight in 32 steps: LRFU (Lee et al., "LRFU: a spectrum of policies that subsumes the
// least recently used and least frequently used policies", 2001) with steps as its time. What is
// known of a row moves with it: beside its slot, and on disk in its location, where no slot has to
// be named.
#pragma once

#include <cstdint>

#include "kernels/location.h"
#include "kernels/residency_ops.h"
#include "kernels/scalar.h"

namespace mneme::kernels::use_history {

inline constexpr std::uint32_t kHalfLife = 32;  // steps

struct UseHistory {
  std::uint32_t step = 0;  // of the last use
  float uses = 0;          // as of that step: 1 for a first use, below 47 however often; 0: none
};

// What is left of a use's weight, 2^(-steps / kHalfLife).
MNEME_HOST_DEVICE float kept_share(std::uint32_t steps) {
  const std::uint32_t halvings = steps / kHalfLife, rest = steps % kHalfLife;
  if (halvings > 126) return 0;
  // 2^(-1/32), 2^(-2/32), 2^(-4/32), 2^(-8/32), 2^(-16/32)
  float share = bits_float((127 - halvings) << 23);
  if ((rest & 1) != 0) share *= 0.978572062f;
  if ((rest & 2) != 0) share *= 0.957603281f;
  if ((rest & 4) != 0) share *= 0.917004043f;
  if ((rest & 8) != 0) share *= 0.840896415f;
  if ((rest & 16) != 0) share *= 0.707106781f;
  return share;
}

MNEME_HOST_DEVICE float after_use(const UseHistory& history, std::uint32_t step) {
  if (history.uses > 0 && history.step >= step) return history.uses;
  return fused_multiply_add(history.uses, kept_share(step - history.step), 1.0f);
}

// The same history, as of the step or of its last use if that is later.
MNEME_HOST_DEVICE float uses_as_of(const UseHistory& history, std::uint32_t step) {
  return history.step >= step ? history.uses : history.uses * kept_share(step - history.step);
}

// ---- In a slot table ----

// step_used protects a row that a hint has brought, or found, up to the step that it names. Its
// count is as of two steps before, so that its use counts, in this step or in the next.
inline constexpr std::uint32_t kHintSteps = 2;

MNEME_HOST_DEVICE std::uint32_t counted_step(std::uint8_t state, std::uint32_t step_used) {
  const std::uint32_t ahead = (state & kHinted) != 0 ? kHintSteps : 0;
  return (step_used > ahead ? step_used : ahead) - ahead;
}
MNEME_HOST_DEVICE UseHistory of_slot(const SlotTable& table, SlotId slot) {
  return {counted_step(table.state[slot], table.step_used[slot]), table.frequency[slot]};
}

// Sixteenths of halvings by which a row's weight at `step` stays behind the most that there can be;
// logarithms are those of a straight line between powers of two.
inline constexpr std::uint32_t kOneUse = 127 * 16, kMostUses = kOneUse + 87;
MNEME_HOST_DEVICE std::uint32_t shortfall(std::uint32_t counted_step, float uses,
                                          std::uint32_t step) {
  const std::uint32_t log_uses = float_bits(uses) >> 19;
  const std::uint32_t passed = step > counted_step ? step - counted_step : 0;
  return kMostUses - (log_uses < kMostUses ? log_uses : kMostUses) + passed * 16 / kHalfLife;
}

// ---- In the location of a row on disk: 23 bits of the step, 7 of the logarithm of uses ----

inline constexpr int kUsesBits = 7;
inline constexpr std::uint32_t kStepMask = (std::uint32_t{1} << 23) - 1;

MNEME_HOST_DEVICE Location on_disk(const UseHistory& history) {
  std::uint32_t log_uses = float_bits(history.uses) >> 19, step = history.step;
  if (log_uses == 0) return location_of(Place::kDisk);
  if (log_uses < kOneUse) {
    // Less than a use is a whole one, longer ago.
    const std::uint32_t ago = (kOneUse - log_uses) * kHalfLife / 16;
    step = step > ago ? step - ago : 1;
    log_uses = kOneUse;
  }
  const std::uint32_t most = log_uses < kMostUses ? log_uses : kMostUses;
  return location_of(Place::kDisk, (step & kStepMask) << kUsesBits | (most - kOneUse));
}
// now: the current step, less than 2^23 behind the last use.
MNEME_HOST_DEVICE UseHistory of_location(Location location, std::uint32_t now) {
  const std::uint32_t known = slot_of(location);
  if (place_of(location) != Place::kDisk || known == 0) return {};
  const std::uint32_t passed = (now - (known >> kUsesBits)) & kStepMask;
  const std::uint32_t log_uses = (known & ((1u << kUsesBits) - 1)) + kOneUse;
  return {now > passed ? now - passed : 0, bits_float(log_uses << 19)};
}

}  // namespace mneme::kernels::use_history
