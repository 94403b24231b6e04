// The training loop of one run directory: steps, evaluation, samples, checkpoints, metrics.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>

#include "engine/config.h"
#include "engine/metrics.h"
#include "io/disk.h"
#include "io/progress.h"

namespace mneme::engine {

struct TrainerOptions {
  bool resume = false;
  std::optional<std::uint64_t> step;  // to resume from; the newest checkpoint unless given
  bool accept_changed_data = false;   // of a resumed run
  // Ends the run after this step as a stop does.
  std::optional<std::uint64_t> stop_after;
  // Whether a run that is stopped is saved. Failures save what can be saved all the same.
  bool saves_at_stop = true;
  // Writes a trace with the look-ups of tokens, whatever the configuration says; the run keeps its
  // configuration.
  bool traces = false;
  // Asked between steps, and within evaluations and samples: true ends the run after a checkpoint.
  std::function<bool()> stop_requested;
  // Sees every step's metrics, after its evaluation and sample; what its checkpoint takes is in
  // metrics.jsonl only. May ask for a stop.
  std::function<void(const StepMetrics&)> on_step;
  std::ostream* samples = nullptr;          // generated text goes here; null for none
  io::ProgressDisplay* progress = nullptr;  // of this thread; null for none
};

struct TrainResult {
  std::uint64_t first_step = 0;  // the last step before this call's
  std::uint64_t last_step = 0;
  bool interrupted = false;
  double last_loss = 0;                   // nats a token
  std::optional<double> validation_loss;  // after the last step, when it was evaluated
  double unigram_entropy = 0;             // of the training text, nats a token
  double tokens_per_s = 0;                // median over the steps
  // Of all steps in all the time that they took, evaluations, samples and checkpoints included.
  double mean_tokens_per_s = 0;
};

// Trains to config.train.steps. Fresh runs need a directory of their own (run_files.h); resumed
// ones go on from a checkpoint. What can be known before the first step to fail later fails then
// (preflight.h). Holds the locks of the directory throughout. Throws Error; whatever it throws, the
// last committed checkpoint stands, and what fails before the end of the first step leaves the
// directory as it was.
TrainResult train(const Config& config, io::Disk& disk, const TrainerOptions& options);

}  // namespace mneme::engine
