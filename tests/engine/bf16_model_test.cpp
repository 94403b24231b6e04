// Models on backends that compute in bf16, beside the same model in float32: losses, gradients of
// every parameter, and a few optimiser steps, which show that products read current weights.
#include <gtest/gtest.h>

#include "engine/optimizer.h"
#include "tests/engine/test_model.h"

namespace mneme::test {
namespace {

using engine::Parameter;
using engine::ParameterBuffer;

// Roundings of 2^-9 each add up along three blocks and back: seen are 0.02 to 0.03, and 0.06 in a
// bias that has one element. A wrong type or stride is wrong by 1.
constexpr double kGradientTolerance = 0.08;
constexpr double kLossTolerance = 0.01;

engine::ModelOptions options_of(bool memory) {
  engine::ModelOptions options;
  options.vocabulary = 40;
  options.width = 64;
  options.blocks = 3;
  options.attention_heads = 2;
  options.kv_heads = 1;
  options.feed_forward_hidden = 96;
  options.batch = 2;
  options.sequence = 40;
  if (memory) {
    options.feed_forward = {engine::FeedForwardKind::kMemory, {1}};
    options.memory = {.heads = 2, .knn = 4, .half_keys = 8, .key_width = 32, .scalar_gate = true};
  }
  return options;
}

// One name a variant of the model.
struct Variant {
  const char* name;
  engine::ModelOptions options;
};

std::vector<Variant> variants() {
  if (testing::bf16_backends_under_test().empty()) return {};
  engine::ModelOptions tied = options_of(false);
  tied.tied_output = true;
  engine::ModelOptions ungated = options_of(true);
  ungated.memory.gate = memory::Gate::kNone;
  ungated.memory.scalar_gate = false;
  engine::ModelOptions projected = ungated;
  projected.memory.value_width = 48;
  engine::ModelOptions normed = options_of(true);
  normed.memory.query_key_norm = memory::QueryKeyNorm::kRms;
  engine::ModelOptions peer = options_of(true);
  peer.feed_forward = {engine::FeedForwardKind::kPeer, {1}};
  engine::ModelOptions mixture = options_of(false);
  mixture.feed_forward = {engine::FeedForwardKind::kMoe, {0, 2}};
  mixture.moe = {.experts = 3, .hidden = 64, .balance_loss = 0.1};
  return {{"dense", options_of(false)},
          {"tied", tied},
          {"memory", options_of(true)},
          {"ungated", ungated},
          {"projected", projected},
          {"normed", normed},
          {"peer", peer},
          {"mixture", mixture}};
}

class Bf16Model : public ::testing::TestWithParam<Variant> {};
// There may be no backend that computes in bf16.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Bf16Model);

// What the last forward pass chose: the rows of layers that read the table, and how many tokens
// each expert of a mixture worked on.
std::vector<kernels::RowId> choices(TestModel& test, std::int64_t tokens) {
  std::vector<kernels::RowId> rows;
  const engine::ModelOptions& options = test.model->options();
  for (const std::int64_t block : options.table_blocks()) {
    const std::int64_t lookups = tokens * options.memory.heads * options.memory.knn;
    const auto own =
        test.download(test.model->table_layer(block)->rows(), static_cast<std::size_t>(lookups));
    rows.insert(rows.end(), own.begin(), own.end());
  }
  for (const engine::ExpertCounts& counts : test.model->take_expert_counts()) {
    rows.insert(rows.end(), counts.tokens.begin(), counts.tokens.end());
  }
  return rows;
}

TEST_P(Bf16Model, LossAndGradientsAreThoseOfFloat32) {
  const engine::ModelOptions& options = GetParam().options;
  // A rounded query may choose another row, and a router another expert. Few tokens, and a seed
  // with which none does.
  const bool chooses = options.feed_forward.last() >= 0;
  const std::int64_t length = chooses ? 4 : options.sequence;
  for (const testing::TestBackend& backend : testing::bf16_backends_under_test()) {
    SCOPED_TRACE(backend.name);
    bool compared = false;
    for (std::uint64_t seed = 1; seed <= 40 && !compared; ++seed) {
      const TokenBatch batch = random_tokens(options, seed);
      engine::MicroBatch few = batch.sequences(0, 1);
      few.tokens = few.tokens.first(static_cast<std::size_t>(length));
      few.targets = few.targets.first(static_cast<std::size_t>(length));
      few.sequence = length;
      TestModel exact(options);
      TestModel rounded(options, {.backend = backend});
      const double expected = exact.gradients({{few}});
      const double loss = rounded.gradients({{few}});
      if (choices(exact, length) != choices(rounded, length)) continue;
      compared = true;
      EXPECT_NEAR(loss, expected, kLossTolerance * expected);
      EXPECT_NE(loss, expected) << "nothing was rounded";
      for (const Parameter& parameter : exact.parameters().directory()) {
        SCOPED_TRACE(parameter.declaration.name);
        EXPECT_LE(relative_error(rounded.read(ParameterBuffer::kGradients, parameter),
                                 exact.read(ParameterBuffer::kGradients, parameter)),
                  kGradientTolerance);
      }
    }
    EXPECT_TRUE(compared) << "no seed with which both choose the same";
  }
}

// The losses of a few steps on one batch: they fall, and alike.
std::vector<double> losses(TestModel& test, const TokenBatch& batch) {
  engine::DenseOptimizer optimizer(
      *test.backend, test.parameters(),
      {.learning_rate = [](std::uint64_t) { return 1e-2; }, .weight_decay = 0.1});
  std::vector<double> losses;
  for (std::uint64_t step = 1; step <= 6; ++step) {
    losses.push_back(test.gradients({{batch.whole()}}, step));
    optimizer.step(*test.stream, step);
    if (test.table) test.table->finish_step(*test.stream);
  }
  losses.push_back(test.evaluate(batch.whole(), 6));
  return losses;
}

TEST_P(Bf16Model, TrainsAsFloat32Does) {
  const engine::ModelOptions& options = GetParam().options;
  const TokenBatch batch = random_tokens(options, 4);
  for (const testing::TestBackend& backend : testing::bf16_backends_under_test()) {
    SCOPED_TRACE(backend.name);
    TestModel exact(options);
    TestModel rounded(options, {.backend = backend});
    const std::vector<double> expected = losses(exact, batch);
    const std::vector<double> actual = losses(rounded, batch);
    EXPECT_LT(expected.back(), 0.8 * expected.front());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(actual[i], expected[i], 0.05 * expected.front()) << "step " << i + 1;
    }
  }
}

// Values of all parameters and losses after a few steps.
std::vector<double> trained(const testing::TestBackend& backend) {
  const engine::ModelOptions options = options_of(true);
  TestModel test(options, {.backend = backend});
  std::vector<double> result = losses(test, random_tokens(options, 4));
  for (const Parameter& parameter : test.parameters().directory()) {
    const std::vector<float> values = test.read(ParameterBuffer::kValues, parameter);
    result.insert(result.end(), values.begin(), values.end());
  }
  return result;
}

class Bf16Backend : public ::testing::TestWithParam<testing::TestBackend> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Bf16Backend);

TEST_P(Bf16Backend, TrainsToTheSameBitsTwice) {
  EXPECT_EQ(trained(GetParam()), trained(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Backends, Bf16Backend,
                         ::testing::ValuesIn(testing::bf16_backends_under_test()),
                         testing::backend_name);
INSTANTIATE_TEST_SUITE_P(Variants, Bf16Model, ::testing::ValuesIn(variants()),
                         [](const auto& variant) { return std::string(variant.param.name); });

}  // namespace
}  // namespace mneme::test
