// How many rows the budgets of the tiers hold, before anything is allocated.
#pragma once

#include <cstdint>

#include "offload/tiered_store.h"

namespace mneme::offload {

struct TierCapacity {
  std::uint64_t device_rows = 0;      // for training
  std::uint64_t evaluation_rows = 0;  // on the device, for evaluation and samples
  std::uint64_t host_rows = 0;        // 0: no host tier
};

// Exactly what a TieredStore with these options has. Throws Error when the device's budget is below
// the minimum.
TierCapacity tier_capacity(const StoreOptions& options);

}  // namespace mneme::offload
