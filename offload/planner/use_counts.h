// How replacement counts the uses of a row. The count of a row moves with it between the device and
// the host tier, so both tiers have to count alike: with lfu counts decay, with static-hot they do
// not. Where one tier is lfu and the other static-hot, a row has two counts. Other policies do not
// read counts.
#pragma once

#include "kernels/residency_ops.h"

namespace mneme::offload {

struct UseCounts {
  // Share of a count (SlotTable::frequency) that is left after one lease.
  float decay = 1.0f;
  // Whether counts that never decay (SlotTable::uses) are kept beside it.
  bool keeps_uses = false;
};

inline UseCounts use_counts(kernels::ReplacementKind device_policy,
                            kernels::ReplacementKind host_policy) {
  using Kind = kernels::ReplacementKind;
  const auto either = [&](Kind kind) { return device_policy == kind || host_policy == kind; };
  // Use halves over a few hundred leases, so that lfu follows a drifting hot set.
  if (!either(Kind::kLfu)) return {};
  return {.decay = 0.998f, .keeps_uses = either(Kind::kStaticHot)};
}

}  // namespace mneme::offload
