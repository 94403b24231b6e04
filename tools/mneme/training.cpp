#include "tools/mneme/training.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <iostream>

#include "io/disk.h"
#include "tools/mneme/interrupt.h"

namespace mneme::tools {

int run_training(const engine::Config& config, engine::TrainerOptions options) {
  const auto disk = io::make_posix_disk();
  const InterruptGuard interrupt;
  options.stop_requested = [&] { return interrupt.interrupted(); };
  options.samples = &std::cout;
  options.progress = &std::cerr;
  const engine::TrainResult result = engine::train(config, *disk, options);
  if (result.interrupted) {
    fmt::print(stderr, "stopped after step {} of {}; go on with: mneme resume {}\n",
               result.last_step, config.train.steps, config.run.directory);
    return 0;
  }
  fmt::print(stderr, "done: step {}, {:.0f} tokens/s", result.last_step, result.tokens_per_s);
  if (result.validation_loss) {
    fmt::print(stderr, ", validation loss {:.4f} nats a token (unigram entropy of the data {:.4f})",
               *result.validation_loss, result.unigram_entropy);
  }
  fmt::print(stderr, "\n");
  return 0;
}

}  // namespace mneme::tools
