// How often rows were used, as replacement counts it. A row's count moves with it from tier to
// tier, so how it ages is decided for both tiers in memory together: for lfu it decays, for
// static-hot it never does, and where each has one of them, both counts are kept. No other policy
// asks.
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
