// What operations of the step plan say when lists and tables contradict each other, which is a bug:
// the CPU backend aborts with it at once, a CUDA kernel keeps it for Stream::synchronize().
#pragma once

#include <cstdint>

namespace mneme::kernels {

struct SlotViolation {
  enum class Kind : std::uint8_t {
    kNone,
    kNoFreeSlot,    // a: free slots, b: slots of the tier, c: row
    kSlotNotFree,   // a: slot, b: slots of the tier, c: row that it was for
    kSlotBound,     // a: slot, b: slots of the tier, c: row that it still has
    kSlotOutside,   // a: slot, b: slots of the tier
    kQueueFull,     // a: slot, b: slots of the tier
    kRowElsewhere,  // a: row, b: its place, c: its slot there
    kListTooLong,   // a: entries of a list, b: the most there may be
  };
  Kind kind = Kind::kNone;
  std::int64_t a = 0, b = 0, c = 0;
};

// Aborts, saying what is wrong. REQUIRES: something is.
[[noreturn]] void fail_with(const SlotViolation& violation);

}  // namespace mneme::kernels
