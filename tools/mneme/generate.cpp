// mneme generate: continues a prompt with a checkpoint's model.
#include <fmt/format.h>

#include "engine/evaluate.h"
#include "engine/run.h"
#include "io/disk.h"
#include "io/error.h"
#include "io/file_lock.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/run_directory.h"

namespace mneme::tools {

int run_generate(const GenerateOptions& options) {
  const engine::Config config = read_run_config(options.directory, options.overrides);
  if (config.sample.tokens == 0) {
    io::fail("{}: sample.tokens is 0, so there is nothing to write; give --tokens 100",
             options.directory);
  }
  const auto disk = io::make_posix_disk();
  const io::FileLock lock(config.run.directory);
  engine::Run run(config, *disk);
  const std::uint64_t step = run.load(options.step);
  fmt::print("{}\n", engine::sample_text(run, step, config.sample.prompt,
                                         options.seed.value_or(config.run.seed)));
  return 0;
}

}  // namespace mneme::tools
