// Evaluation and sampling of a run between steps: nothing that training reads is changed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "engine/data.h"
#include "engine/run.h"
#include "text/tokenizer.h"

namespace mneme::engine {

struct EvaluationResult {
  double loss = 0;  // mean over the validation batches, nats a token
  std::int64_t tokens = 0;
};

// The loss on the validation batches with the weights after `completed_step`; nothing when `stop`,
// asked before each batch, says so. REQUIRES data.validation_batches() > 0.
std::optional<EvaluationResult> evaluate(Run& run, const Data& data, std::uint64_t completed_step,
                                         const std::function<bool()>& stop = {});

struct SampleRequest {
  std::uint64_t completed_step = 0;
  std::string prompt;
  std::uint64_t seed = 0;
  std::function<bool()> stop = {};  // asked before each token
};

// The prompt and its continuation under config.sample, up to the token that ends a document; less
// of it when `stop` says so. Without a tokenizer (null) the new tokens' ids, separated by spaces.
std::string sample_text(Run& run, const text::Tokenizer* tokenizer, const SampleRequest& request);

}  // namespace mneme::engine
