// Generates text: temperature and top-p sampling from a model's next-token distribution.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "engine/model.h"

namespace mneme::engine {

struct SampleOptions {
  double temperature = 0.8;  // 0: always the most likely token
  double top_p = 0.95;       // sample among the fewest tokens that have this share of probability
  std::uint64_t seed = 0;
  std::int64_t tokens = 128;             // how many to generate
  std::optional<std::int32_t> end = {};  // a token that ends the text, and is not part of it
};

// Picks one token from logits [vocabulary]. `uniform` in [0, 1) decides. Ties by lower token id.
std::int32_t sample_token(std::span<const float> logits, const SampleOptions& options,
                          double uniform);

// Continues a prompt, which must not be empty, and returns the new tokens: fewer than asked for
// when `stop`, asked before each, says so. The model sees the last options().sequence tokens. Token
// i is decided by a random number that depends on (seed, i) alone. With memory blocks, the caller
// has called begin_evaluation on the table. Throws Error for an empty prompt or a token outside the
// vocabulary.
std::vector<std::int32_t> generate(Model& model, kernels::Stream& stream,
                                   std::span<const std::int32_t> prompt,
                                   const SampleOptions& options,
                                   const std::function<bool()>& stop = {});

}  // namespace mneme::engine
