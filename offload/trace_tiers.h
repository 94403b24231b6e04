// The tiers that a trace says a store has.
#pragma once

#include "offload/store_options.h"
#include "offload/trace/trace_events.h"

namespace mneme::offload {

// Those of a store with these options, before it is made. Throws Error as tier_sizes() does.
TraceTiers trace_tiers(const StoreOptions& options);

}  // namespace mneme::offload
