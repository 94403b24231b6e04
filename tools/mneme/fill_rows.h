// Every row of a value table touched once, as a long run leaves it, without the run.
#pragma once

#include <cstdint>
#include <functional>

#include "kernels/backend.h"
#include "offload/tiered_store.h"

namespace mneme::tools {

// Leases all rows in ascending order, in chunks, and marks them dirty: the hot tier holds the last
// ones, the tiers below the others, and the next step finds no untouched row. Rows keep their
// initial values. Waits until the stream has run. `progress`, if any, gets the rows done so far.
void fill_rows(kernels::Backend& backend, kernels::Stream& stream, offload::TieredStore& store,
               const std::function<void(std::uint64_t)>& progress = {});

}  // namespace mneme::tools
