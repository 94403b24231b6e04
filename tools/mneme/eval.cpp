// mneme eval: loss and perplexity of a checkpoint on the validation part of the data.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string_view>

#include "engine/data.h"
#include "engine/evaluate.h"
#include "engine/run.h"
#include "engine/run_claim.h"
#include "io/disk.h"
#include "io/error.h"
#include "io/progress.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/interrupt.h"

namespace mneme::tools {
namespace {

bool sets(const std::string& override, std::string_view key) {
  if (!override.starts_with(key)) return false;
  const std::size_t next = override.find_first_not_of(" \t", key.size());
  return next != override.npos && override[next] == '=';
}

// The data to evaluate on. Data that a setting names is the caller's choice; the run's own must be
// what it was.
engine::Data open_data(const EvalOptions& options, const engine::RunDirectory& directory,
                       const engine::Config& config) {
  directory.check_tokenizer();
  engine::DataOptions data_options = engine::data_options(config);
  data_options.validation_only = true;
  engine::Data data(data_options);
  if (data.validation_batches() == 0) {
    io::fail(
        "{}: data.validation_share is 0, there is nothing to evaluate on; give --set "
        "data.validation_share=0.05, or name other data with --set data.validation_path=PATH",
        options.directory);
  }
  const bool named = std::ranges::any_of(options.overrides, [](const std::string& text) {
    return sets(text, "data.path") || sets(text, "data.validation_path");
  });
  if (!named && !options.accept_changed_data) {
    engine::check_fingerprints(directory.manifest().run, data, config.data,
                               "mneme eval " + options.directory);
  }
  return data;
}

}  // namespace

int run_eval(const EvalOptions& options) {
  const InterruptGuard interrupt;
  io::ProgressDisplay progress(std::cerr, io::standard_error_progress());
  const auto disk = io::make_posix_disk();
  const engine::RunClaim claim = engine::RunClaim::read(*disk, options.directory);
  const engine::RunDirectory directory(*disk, options.directory);
  const engine::Data data = open_data(options, directory, directory.config(options.overrides));
  const engine::ReadRun read = engine::read_run(directory, options.overrides, options.step);
  const auto evaluated =
      engine::evaluate(*read.run, data, read.step, [&] { return interrupt.interrupted(); });
  interrupt.check();
  const engine::EvaluationResult& result = *evaluated;
  const double bits = result.loss / std::log(2.0);
  if (options.json) {
    const nlohmann::ordered_json object = {
        {"step", read.step},       {"loss", result.loss},
        {"bits_per_token", bits},  {"perplexity", std::exp(result.loss)},
        {"tokens", result.tokens}, {"unigram_entropy", data.unigram_entropy()}};
    fmt::print("{}\n", object.dump());
    return 0;
  }
  fmt::print(
      "step {}: loss {:.4f} nats, {:.4f} bits a token, perplexity {:.3f}, over {} tokens "
      "(unigram entropy {:.4f} nats)\n",
      read.step, result.loss, bits, std::exp(result.loss), result.tokens, data.unigram_entropy());
  return 0;
}

}  // namespace mneme::tools
