#include "offload/tier_capacity.h"

#include "offload/device_tier.h"
#include "offload/host_tier.h"
#include "offload/use_counts.h"

namespace mneme::offload {

TierCapacity tier_capacity(const StoreOptions& options) {
  const TierOptions& tiers = options.tiers;
  const UseCounts counts = use_counts(tiers.device_policy, tiers.host_policy);
  const DeviceTier::Sizes device =
      DeviceTier::sizes_for({.table_rows = options.rows,
                             .bytes = tiers.device_bytes,
                             .evaluation_share = tiers.evaluation_share,
                             .layout = options.layout,
                             .policy = tiers.device_policy,
                             .counts = counts});
  const std::uint32_t host = HostTier::slots_for({.table_rows = options.rows,
                                                  .bytes = tiers.host_bytes,
                                                  .record_bytes = options.layout.record_bytes(),
                                                  .policy = tiers.host_policy,
                                                  .counts = counts});
  return {device.training, device.evaluation, host};
}

}  // namespace mneme::offload
