// mneme train: a new run from a configuration.
#include "engine/config_scale.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/training.h"

namespace mneme::tools {

int run_train(const TrainOptions& options) {
  run_training(
      engine::scaled_down(engine::load_config(options.config, options.overrides), options.scale),
      {});
  return 0;
}

}  // namespace mneme::tools
