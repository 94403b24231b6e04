#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "io/check.h"
#include "io/error.h"
#include "io/progress.h"
#include "kernels/scalar.h"

namespace mneme::engine {
namespace {

void check_options(const SampleOptions& options) {
  if (!(options.temperature >= 0)) {
    io::fail("sampling temperature is {}; it must be at least 0", options.temperature);
  }
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    io::fail("sampling top_p is {}; it must be above 0 and at most 1", options.top_p);
  }
}

// A number in [0, 1) for the i-th token: 53 bits of one Philox block, so that it depends on neither
// the platform's library nor on how many numbers were drawn before.
double uniform(std::uint64_t seed, std::uint64_t i) {
  constexpr std::uint32_t kPurpose = 0x73616d70;  // no other use of the generator has this word
  const kernels::PhiloxBlock random = kernels::philox4x32_10(
      {{static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(i >> 32), kPurpose, kPurpose}},
      static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
  const std::uint64_t bits = (std::uint64_t{random.v[0]} << 32) | random.v[1];
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

}  // namespace

std::int32_t sample_token(std::span<const float> logits, const SampleOptions& options,
                          double uniform_number) {
  CHECK(!logits.empty());
  check_options(options);
  for (const float logit : logits) {
    if (!std::isfinite(logit)) io::fail("cannot sample: the model's logits are not finite");
  }
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto logit = [&](std::int32_t token) { return logits[static_cast<std::size_t>(token)]; };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int32_t a, std::int32_t b) { return logit(a) > logit(b); });
  if (options.temperature == 0) return order.front();

  // cumulative[i]: the unnormalised probability of the i + 1 most likely tokens.
  const double highest = logit(order.front());
  std::vector<double> cumulative(order.size());
  double sum = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    sum += std::exp((logit(order[i]) - highest) / options.temperature);
    cumulative[i] = sum;
  }
  const auto reached = [&](double share) {
    const auto found = std::lower_bound(cumulative.begin(), cumulative.end(), share);
    return std::min<std::size_t>(static_cast<std::size_t>(found - cumulative.begin()),
                                 cumulative.size() - 1);
  };
  const std::size_t last = reached(options.top_p * sum);
  // The first token whose cumulative probability exceeds the number; upper_bound, since a number
  // of 0 must give the first token.
  const double wanted = uniform_number * cumulative[last];
  const auto found = std::upper_bound(cumulative.begin(), cumulative.begin() + last, wanted);
  return order[static_cast<std::size_t>(found - cumulative.begin())];
}

std::vector<std::int32_t> generate(Model& model, kernels::Stream& stream,
                                   std::span<const std::int32_t> prompt,
                                   const SampleOptions& options,
                                   const std::function<bool()>& stop) {
  check_options(options);
  if (prompt.empty()) io::fail("cannot generate from an empty prompt; give at least one token");
  const auto window = static_cast<std::size_t>(model.options().sequence);
  std::vector<std::int32_t> tokens(prompt.begin(), prompt.end());
  std::vector<float> logits(static_cast<std::size_t>(model.options().vocabulary));
  io::Phase phase("sampling", static_cast<std::uint64_t>(options.tokens), "tokens");
  for (std::int64_t i = 0; i < options.tokens; ++i) {
    if (stop && stop()) break;
    const std::size_t length = std::min(window, tokens.size());
    const std::span<const std::int32_t> seen(tokens.data() + tokens.size() - length, length);
    model.logits(stream,
                 {.tokens = seen, .batch = 1, .sequence = static_cast<std::int64_t>(length)}, 1,
                 logits);
    const std::int32_t token =
        sample_token(logits, options, uniform(options.seed, static_cast<std::uint64_t>(i)));
    if (token == options.end) break;
    tokens.push_back(token);
    phase.add(1);
  }
  return {tokens.begin() + static_cast<std::ptrdiff_t>(prompt.size()), tokens.end()};
}

}  // namespace mneme::engine
