// mneme eval: loss and perplexity of a checkpoint on the validation part of the data.
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/data.h"
#include "engine/evaluate.h"
#include "engine/run.h"
#include "io/disk.h"
#include "io/error.h"
#include "io/file_lock.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/run_directory.h"

namespace mneme::tools {

int run_eval(const EvalOptions& options) {
  const engine::Config config = read_run_config(options.directory, options.overrides);
  const auto disk = io::make_posix_disk();
  const io::FileLock lock(config.run.directory);
  const engine::Data data(engine::data_options(config));
  if (data.validation_batches() == 0) {
    io::fail(
        "{}: data.validation_share is 0, there is nothing to evaluate on; give --set "
        "data.validation_share=0.05",
        options.directory);
  }
  engine::Run run(config, *disk);
  const std::uint64_t step = run.load(options.step);
  const engine::EvaluationResult result = engine::evaluate(run, data, step);
  const double bits = result.loss / std::log(2.0);
  if (options.json) {
    const nlohmann::ordered_json object = {{"step", step},
                                           {"loss", result.loss},
                                           {"bits_per_token", bits},
                                           {"perplexity", std::exp(result.loss)},
                                           {"tokens", result.tokens},
                                           {"unigram_entropy", data.unigram_entropy()}};
    fmt::print("{}\n", object.dump());
    return 0;
  }
  fmt::print(
      "step {}: loss {:.4f} nats, {:.4f} bits a token, perplexity {:.3f}, over {} tokens "
      "(unigram entropy {:.4f} nats)\n",
      step, result.loss, bits, std::exp(result.loss), result.tokens, data.unigram_entropy());
  return 0;
}

}  // namespace mneme::tools
