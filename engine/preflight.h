// What can be known before the first step: whether the run will be able to write what it has to.
#pragma once

#include "engine/run.h"
#include "io/disk.h"

namespace mneme::engine {

// Tries the folders of a run with the engine that its rows file will use, and looks for room for
// one checkpoint. Throws Error naming the folder and the key. REQUIRES: the caller holds the run's
// locks.
void check_outputs(io::Disk& disk, Run& run);

}  // namespace mneme::engine
