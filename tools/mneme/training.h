// The training loop as `train` and `resume` show it on a terminal.
#pragma once

#include "engine/config.h"

namespace mneme::tools {

// Trains, with progress on standard error and samples on standard output. SIGINT, SIGTERM, SIGHUP
// and a pipe for either of them that nobody reads any more end the run after a checkpoint. Returns
// the exit status: 0, then too. Throws Error, after the last checkpoint, when samples were lost for
// another reason, such as a full disk.
int run_training(const engine::Config& config, bool resume);

}  // namespace mneme::tools
