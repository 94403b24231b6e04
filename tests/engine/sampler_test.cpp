// Sampling follows the distribution that its options describe, and its seed.
#include "engine/sampler.h"

#include <gtest/gtest.h>

#include "io/error.h"
#include "tests/engine/test_model.h"

namespace mneme::test {
namespace {

const std::vector<float> kLogits = {0.0f, 2.0f, -1.0f, 2.0f, 1.0f};

// The share of an even grid of uniform numbers that gives each token.
std::vector<double> shares(const engine::SampleOptions& options) {
  constexpr int kDraws = 20000;
  std::vector<double> counts(kLogits.size());
  for (int i = 0; i < kDraws; ++i) {
    const std::int32_t token =
        engine::sample_token(kLogits, options, (static_cast<double>(i) + 0.5) / kDraws);
    counts[static_cast<std::size_t>(token)] += 1.0 / kDraws;
  }
  return counts;
}

TEST(Sampler, SharesFollowTheTemperedSoftmax) {
  for (const double temperature : {0.5, 1.0, 3.0}) {
    SCOPED_TRACE(temperature);
    double sum = 0;
    for (const float logit : kLogits) sum += std::exp(logit / temperature);
    const std::vector<double> got = shares({.temperature = temperature, .top_p = 1.0});
    for (std::size_t i = 0; i < kLogits.size(); ++i) {
      EXPECT_NEAR(got[i], std::exp(kLogits[i] / temperature) / sum, 2e-4) << "token " << i;
    }
  }
}

TEST(Sampler, TopPKeepsTheFewestTokensOfThatShare) {
  // Probabilities at temperature 1: .377 (1), .377 (3), .139 (4), .051 (0), .019 (2), plus
  // rounding.
  const std::vector<double> two = shares({.temperature = 1, .top_p = 0.7});
  EXPECT_NEAR(two[1], 0.5, 2e-4);
  EXPECT_NEAR(two[3], 0.5, 2e-4);
  const std::vector<double> one = shares({.temperature = 1, .top_p = 0.01});
  EXPECT_NEAR(one[1], 1.0, 1e-9) << "ties go to the lower token id";
  const std::vector<double> three = shares({.temperature = 1, .top_p = 0.85});
  EXPECT_EQ(three[0] + three[2], 0);
  EXPECT_NEAR(three[4] / three[1], std::exp(-1.0), 2e-3);
}

TEST(Sampler, TemperatureZeroTakesTheMostLikely) {
  for (const double uniform : {0.0, 0.5, 0.999999}) {
    EXPECT_EQ(engine::sample_token(kLogits, {.temperature = 0}, uniform), 1);
  }
}

TEST(Sampler, RejectsOptionsAndLogitsThatMakeNoDistribution) {
  EXPECT_THROW(engine::sample_token(kLogits, {.temperature = -1}, 0), io::Error);
  EXPECT_THROW(engine::sample_token(kLogits, {.top_p = 0}, 0), io::Error);
  EXPECT_THROW(engine::sample_token(kLogits, {.top_p = 1.5}, 0), io::Error);
  EXPECT_THROW(engine::sample_token(std::vector<float>{1, NAN}, {}, 0), io::Error);
}

TEST(Sampler, GenerationDependsOnTheSeedAloneAndSlidesItsWindow) {
  const engine::ModelOptions options = small_model_options();
  TestModel test(options);
  test.table->begin_evaluation(0);
  const std::vector<std::int32_t> prompt = {1, 5, 2};
  engine::SampleOptions sample{.temperature = 1, .top_p = 1, .seed = 3, .tokens = 20};
  const std::vector<std::int32_t> first =
      engine::generate(*test.model, *test.stream, prompt, sample);
  EXPECT_EQ(first.size(), 20u);
  int asked = 0;
  const std::vector<std::int32_t> stopped =
      engine::generate(*test.model, *test.stream, prompt, sample, [&] { return ++asked > 7; });
  EXPECT_EQ(stopped, std::vector<std::int32_t>(first.begin(), first.begin() + 7));
  EXPECT_EQ(engine::generate(*test.model, *test.stream, prompt, sample), first);
  sample.seed = 4;
  EXPECT_NE(engine::generate(*test.model, *test.stream, prompt, sample), first);
  EXPECT_THROW(engine::generate(*test.model, *test.stream, {}, sample), io::Error);
}

TEST(Sampler, TheTokenThatEndsATextEndsItAndIsNoPartOfIt) {
  TestModel test(small_model_options());
  test.table->begin_evaluation(0);
  const std::vector<std::int32_t> prompt = {1, 5, 2};
  engine::SampleOptions sample{.temperature = 1, .top_p = 1, .seed = 3, .tokens = 20};
  const std::vector<std::int32_t> whole =
      engine::generate(*test.model, *test.stream, prompt, sample);
  sample.end = whole[10];
  const auto first = std::ranges::find(whole, whole[10]);
  EXPECT_EQ(engine::generate(*test.model, *test.stream, prompt, sample),
            std::vector<std::int32_t>(whole.begin(), first));
  sample.end = prompt[0];  // in the prompt it ends nothing
  const auto made = engine::generate(*test.model, *test.stream, prompt, sample);
  EXPECT_EQ(made, std::vector<std::int32_t>(whole.begin(), std::ranges::find(whole, prompt[0])));
}

TEST(Sampler, GreedyGenerationTakesTheHighestLogitOfTheLastPosition) {
  engine::ModelOptions options = small_model_options();
  options.feed_forward = {};
  TestModel test(options);
  const std::vector<std::int32_t> prompt = {7, 3};
  const std::vector<std::int32_t> made =
      engine::generate(*test.model, *test.stream, prompt, {.temperature = 0, .tokens = 6});
  std::vector<std::int32_t> all = prompt;
  for (const std::int32_t token : made) {
    const std::size_t length = std::min<std::size_t>(all.size(), 6);
    std::vector<float> logits(static_cast<std::size_t>(options.vocabulary));
    test.model->logits(*test.stream,
                       {.tokens = std::span(all).last(length),
                        .batch = 1,
                        .sequence = static_cast<std::int64_t>(length)},
                       1, logits);
    EXPECT_EQ(token, std::max_element(logits.begin(), logits.end()) - logits.begin());
    all.push_back(token);
  }
}

}  // namespace
}  // namespace mneme::test
