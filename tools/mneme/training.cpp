#include "tools/mneme/training.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <ostream>
#include <string>

#include "io/disk.h"
#include "io/error.h"
#include "io/progress.h"
#include "tools/mneme/interrupt.h"
#include "tools/mneme/output_buffer.h"
#include "tools/mneme/standard_descriptors.h"

namespace mneme::tools {
namespace {

// How a run ended, as a line for people.
std::string last_words(const engine::Config& config, const engine::TrainResult& result) {
  if (result.interrupted) {
    return fmt::format("stopped after step {} of {}; go on with: mneme resume {}", result.last_step,
                       config.train.steps, config.run.directory);
  }
  std::string text = fmt::format("done: step {}, {:.0f} tokens/s a step (median), {:.0f} in all",
                                 result.last_step, result.tokens_per_s, result.mean_tokens_per_s);
  if (result.validation_loss) {
    text +=
        fmt::format(", validation loss {:.4f} nats a token (unigram entropy of the data {:.4f})",
                    *result.validation_loss, result.unigram_entropy);
  }
  return text;
}

}  // namespace

engine::TrainResult run_training(const engine::Config& config, engine::TrainerOptions options) {
  const auto disk = io::make_posix_disk();
  const InterruptGuard interrupt;
  OutputBuffer output_buffer(STDOUT_FILENO, [&] { return interrupt.interrupted(); });
  OutputBuffer error_buffer(STDERR_FILENO, [&] { return interrupt.interrupted(); });
  std::ostream output(&output_buffer);
  std::ostream error(&error_buffer);
  options.stop_requested = [&] {
    return interrupt.interrupted() || reader_is_gone(STDOUT_FILENO) ||
           reader_is_gone(STDERR_FILENO);
  };
  // A run's result is its directory: it goes on without samples when standard output is closed.
  options.samples = is_writable(STDOUT_FILENO) ? &output : nullptr;
  engine::TrainResult result;
  {
    io::ProgressDisplay progress(error, io::standard_error_progress());
    options.progress = &progress;
    result = engine::train(config, *disk, options);
    if (options.saves_at_stop || !result.interrupted) progress.note(last_words(config, result));
  }
  const int lost = output_buffer.error();
  if (lost != 0 && lost != EPIPE && lost != EAGAIN) io::fail("{}", lost_output(lost));
  return result;
}

}  // namespace mneme::tools
