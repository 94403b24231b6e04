#include "engine/evaluate.h"

#include <fmt/format.h>

#include <vector>

#include "engine/prompt.h"
#include "engine/sampler.h"
#include "io/check.h"
#include "io/progress.h"

namespace mneme::engine {

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

std::string sample_text(Run& run, std::uint64_t completed_step, const std::string& prompt,
                        std::uint64_t seed, const std::function<bool()>& stop) {
  const bool bytes = run.config().data.vocabulary == 256;
  const std::vector<std::int32_t> tokens = prompt_tokens(prompt, run.config().data.vocabulary);
  if (run.table() != nullptr) {
    run.table()->begin_evaluation(completed_step, offload::Cause::kSampling);
  }
  const SampleConfig& sample = run.config().sample;
  const std::vector<std::int32_t> made = generate(run.model(), run.stream(), tokens,
                                                  {.temperature = sample.temperature,
                                                   .top_p = sample.top_p,
                                                   .seed = seed,
                                                   .tokens = sample.tokens},
                                                  stop);
  std::string text = bytes ? prompt : std::string();
  for (const std::int32_t token : made) {
    if (bytes) {
      text.push_back(static_cast<char>(token));
    } else {
      text += fmt::format("{}{}", text.empty() ? "" : " ", token);
    }
  }
  return text;
}

}  // namespace mneme::engine
