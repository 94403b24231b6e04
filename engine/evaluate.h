// Evaluation and sampling of a run between steps: nothing that training reads is changed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "engine/data.h"
#include "engine/run.h"

namespace mneme::engine {

struct EvaluationResult {
  double loss = 0;  // mean over the validation batches, nats a token
  std::int64_t tokens = 0;
};

// The loss on the validation batches with the weights after `completed_step`; nothing when `stop`,
// asked before each batch, says so. REQUIRES data.validation_batches() > 0.
std::optional<EvaluationResult> evaluate(Run& run, const Data& data, std::uint64_t completed_step,
                                         const std::function<bool()>& stop = {});

// The prompt and its continuation under config.sample, as text (one byte a token; vocabularies
// beyond bytes give token ids separated by spaces); less of it when `stop`, asked before each
// token, says so.
std::string sample_text(Run& run, std::uint64_t completed_step, const std::string& prompt,
                        std::uint64_t seed, const std::function<bool()>& stop = {});

}  // namespace mneme::engine
