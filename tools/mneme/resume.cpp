// mneme resume: goes on from the newest checkpoint of a run directory.
#include "tools/mneme/commands.h"
#include "tools/mneme/run_directory.h"
#include "tools/mneme/training.h"

namespace mneme::tools {

int run_resume(const ResumeOptions& options) {
  return run_training(read_run_config(options.directory, options.overrides), true);
}

}  // namespace mneme::tools
