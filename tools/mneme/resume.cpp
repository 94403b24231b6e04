// mneme resume: goes on from a checkpoint of a run directory.
#include "engine/run_directory.h"
#include "io/disk.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/training.h"

namespace mneme::tools {

int run_resume(const ResumeOptions& options) {
  const auto disk = io::make_posix_disk();
  const engine::RunDirectory directory(*disk, options.directory);
  engine::TrainerOptions training;
  training.resume = true;
  training.step = options.step;
  training.accept_changed_data = options.accept_changed_data;
  run_training(directory.config(options.overrides), training);
  return 0;
}

}  // namespace mneme::tools
