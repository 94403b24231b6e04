// mneme train: a new run from a configuration.
#include "tools/mneme/commands.h"
#include "tools/mneme/training.h"

namespace mneme::tools {

int run_train(const TrainOptions& options) {
  return run_training(engine::load_config(options.config, options.overrides), {});
}

}  // namespace mneme::tools
