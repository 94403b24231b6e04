// The training loop as `train` and `resume` show it on a terminal.
#pragma once

#include "engine/config.h"
#include "engine/trainer.h"

namespace mneme::tools {

// Trains, with progress on standard error and samples on standard output. SIGINT, SIGTERM, SIGHUP
// and a pipe for either of them that nobody reads any more end the run after a checkpoint, and that
// is no failure. Throws Error, after the last checkpoint, when samples were lost for another
// reason, such as a full disk. `options` says what to resume and when to stop; the rest of it is
// filled in here.
engine::TrainResult run_training(const engine::Config& config, engine::TrainerOptions options);

}  // namespace mneme::tools
