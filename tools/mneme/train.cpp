// mneme train: a new run from a configuration.
#include "tools/mneme/training.h"

#include "tools/mneme/commands.h"

namespace mneme::tools {

int run_train(const TrainOptions& options) {
  return run_training(engine::load_config(options.config, options.overrides), false);
}

}  // namespace mneme::tools
