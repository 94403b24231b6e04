// What can be known before the first step: whether the run will be able to write what it has to.
#pragma once

#include <cstdint>

#include "engine/run.h"
#include "io/disk.h"

namespace mneme::engine {

// Throws Error naming the keys when the tiers would take more of the machine's memory than is
// available. A budget that the whole table does not fill takes no more than the table. Where the
// device has memory of its own, only the host tier counts.
void check_tier_memory(const Config& config, bool device_has_memory, std::uint64_t available_bytes);

// Tries the folders of a run with the engine that its rows file will use, and looks for room for
// one checkpoint. Throws Error naming the folder and the key. REQUIRES: the caller holds the run's
// locks.
void check_outputs(io::Disk& disk, Run& run);

}  // namespace mneme::engine
