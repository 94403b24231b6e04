#include "kernels/slot_violation.h"

#include "io/check.h"
#include "kernels/location.h"

namespace mneme::kernels {
namespace {

const char* name_of(std::int64_t place) {
  switch (static_cast<Place>(place)) {
    case Place::kUntouched:
      return "untouched";
    case Place::kDevice:
      return "on the device";
    case Place::kHost:
      return "in the host tier";
    case Place::kDisk:
      return "on disk";
  }
  return "nowhere";
}

}  // namespace

void fail_with(const SlotViolation& violation) {
  const std::int64_t a = violation.a, b = violation.b, c = violation.c;
  switch (violation.kind) {
    case SlotViolation::Kind::kNoFreeSlot:
      CHECK(false, "no slot is free for row {}: {} of {} slots were", c, a, b);
      break;
    case SlotViolation::Kind::kSlotNotFree:
      CHECK(false, "slot {} of {} for row {} is not free", a, b, c);
      break;
    case SlotViolation::Kind::kSlotBound:
      CHECK(false, "slot {} of {} cannot be freed: it still has row {}", a, b, c);
      break;
    case SlotViolation::Kind::kSlotOutside:
      CHECK(false, "slot {} is outside the tier's {} slots", a, b);
      break;
    case SlotViolation::Kind::kQueueFull:
      CHECK(false, "slot {} cannot be freed: all {} slots are free", a, b);
      break;
    case SlotViolation::Kind::kRowElsewhere:
      CHECK(false, "row {} is not where it should be: it is {}, slot {}", a, name_of(b), c);
      break;
    case SlotViolation::Kind::kListTooLong:
      CHECK(false, "a list of {} slots may have {} at most", a, b);
      break;
    case SlotViolation::Kind::kNone:
      break;
  }
  CHECK(false, "a violation of no kind");
  __builtin_unreachable();
}

}  // namespace mneme::kernels
