// mneme generate: continues a prompt with a checkpoint's model.
#include <fmt/format.h>

#include <iostream>
#include <string>

#include "engine/evaluate.h"
#include "engine/run.h"
#include "engine/run_claim.h"
#include "engine/run_tokenizer.h"
#include "io/disk.h"
#include "io/error.h"
#include "io/progress.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/interrupt.h"

namespace mneme::tools {

int run_generate(const GenerateOptions& options) {
  const InterruptGuard interrupt;
  io::ProgressDisplay progress(std::cerr, io::standard_error_progress());
  const auto disk = io::make_posix_disk();
  const engine::RunClaim claim = engine::RunClaim::read(*disk, options.directory);
  const engine::RunDirectory directory(*disk, options.directory);
  if (directory.config(options.overrides).sample.tokens == 0) {
    io::fail("{}: sample.tokens is 0, so there is nothing to write; give --tokens 100",
             options.directory);
  }
  const engine::ReadRun read = engine::read_run(directory, options.overrides, options.step);
  const engine::Config& config = read.run->config();
  const auto tokenizer = engine::open_kept_tokenizer(config.data);
  const std::string text = engine::sample_text(*read.run, tokenizer.get(),
                                               {.completed_step = read.step,
                                                .prompt = config.sample.prompt,
                                                .seed = options.seed.value_or(config.run.seed),
                                                .stop = [&] { return interrupt.interrupted(); }});
  // What there is of it when a signal came.
  fmt::print("{}\n", text);
  interrupt.check();
  return 0;
}

}  // namespace mneme::tools
