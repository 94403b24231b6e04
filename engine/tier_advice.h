// What a run can be told about its tiers once it has taken a step.
#pragma once

#include <string>

#include "engine/metrics.h"
#include "offload/tiered_store.h"

namespace mneme::engine {

// One line for a step whose rows are more than the device tier holds, so that they come several
// times: how often, and the key and bytes with which they would come once. Empty for another step.
// REQUIRES: nothing is leased.
std::string device_tier_advice(const StepMetrics& metrics, const offload::TieredStore& store);

}  // namespace mneme::engine
