// Runs a grid's blocks on the machine's threads.
#pragma once

#include "tests/cuda_emulator/src/block_runner.h"

namespace emulator {

// REQUIRES: the caller holds a device_access, so that one grid runs at a time.
void run_grid(const Grid& grid);

}  // namespace emulator
