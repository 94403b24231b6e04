#include "engine/evaluate.h"

#include <string>
#include <vector>

#include "engine/prompt.h"
#include "engine/sampler.h"
#include "io/check.h"
#include "io/progress.h"

namespace mneme::engine {

namespace {

std::string joined(const std::vector<std::int32_t>& tokens) {
  std::string text;
  for (const std::int32_t token : tokens) {
    if (!text.empty()) text += ' ';
    text += std::to_string(token);
  }
  return text;
}

}  // namespace

std::optional<EvaluationResult> evaluate(Run& run, const Data& data, std::uint64_t completed_step,
                                         const std::function<bool()>& stop) {
  CHECK(data.validation_batches() > 0);
  if (run.table() != nullptr) run.table()->begin_evaluation(completed_step);
  EvaluationResult result;
  Batch batch;
  io::Phase phase("evaluating", static_cast<std::uint64_t>(data.validation_batches()), "batches");
  for (std::int64_t i = 0; i < data.validation_batches(); ++i) {
    if (stop && stop()) return {};
    data.validation_batch(i, batch);
    result.loss += run.model().evaluate(run.stream(), {.tokens = batch.tokens,
                                                       .targets = batch.targets,
                                                       .first_keys = batch.first_keys,
                                                       .batch = run.config().train.batch,
                                                       .sequence = run.config().train.sequence});
    result.tokens += static_cast<std::int64_t>(batch.tokens.size());
    phase.add(1);
  }
  result.loss /= static_cast<double>(data.validation_batches());
  return result;
}

std::string sample_text(Run& run, const text::Tokenizer* tokenizer, const SampleRequest& request) {
  const std::vector<std::int32_t> prompt =
      prompt_tokens(request.prompt, tokenizer, run.config().data.vocabulary);
  if (run.table() != nullptr) {
    run.table()->begin_evaluation(request.completed_step, offload::Cause::kSampling);
  }
  const SampleConfig& sample = run.config().sample;
  SampleOptions options{.temperature = sample.temperature,
                        .top_p = sample.top_p,
                        .seed = request.seed,
                        .tokens = sample.tokens};
  if (tokenizer != nullptr) options.end = tokenizer->separator();
  const std::vector<std::int32_t> made =
      generate(run.model(), run.stream(), prompt, options, request.stop);
  if (tokenizer == nullptr) return joined(made);
  // What comes first in a text is written otherwise than what follows, so that the prompt is
  // decoded as well.
  text::StreamDecoder decoder(*tokenizer);
  std::string text;
  for (const std::int32_t token : prompt) text += decoder.add(token);
  // A tokenizer may write the prompt otherwise than it was given; bytes need not be characters.
  if (!tokenizer->file_name().empty()) text = request.prompt;
  for (const std::int32_t token : made) {
    text += token < tokenizer->vocabulary() ? decoder.add(token) : decoder.finish() + "\ufffd";
  }
  return text + decoder.finish();
}

}  // namespace mneme::engine
