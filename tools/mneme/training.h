// The training loop as `train` and `resume` show it on a terminal.
#pragma once

#include "engine/config.h"
#include "engine/trainer.h"

namespace mneme::tools {

// Trains, with progress on standard error and samples on standard output. Ctrl-C and SIGTERM end
// the run after a checkpoint. Returns the exit status: 0, also after a signal.
// `options` says what to resume; the rest of it is filled in here.
int run_training(const engine::Config& config, engine::TrainerOptions options);

}  // namespace mneme::tools
