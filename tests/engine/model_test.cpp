// What the model promises whatever its backend computes: gradients of its own loss, accumulation,
// the same bits for any number of threads, and that it can learn.
#include "engine/model.h"

#include <gtest/gtest.h>

#include "engine/optimizer.h"
#include "engine/output_head.h"
#include "io/error.h"
#include "tests/engine/test_model.h"

namespace mneme::test {
namespace {

using engine::MicroBatch;
using engine::Parameter;
using engine::ParameterBuffer;

// Along each parameter's own gradient the loss must rise by the gradient's norm. The choice of rows
// is a jump that carries no gradient, so the data must be such that no step changes it.
void expect_gradients_match_differences(const engine::ModelOptions& options, std::uint64_t seed,
                                        const std::vector<std::int32_t>& documents = {}) {
  SCOPED_TRACE(seed);
  constexpr double kStep = 4e-3;
  TestModel test(options);
  TokenBatch batch = random_tokens(options, seed);
  if (!documents.empty()) batch = with_documents(batch, documents);
  const auto chosen_rows = [&] {
    std::vector<kernels::RowId> rows;
    for (const std::int64_t block : options.table_blocks()) {
      const auto lookups = options.tokens() * options.memory.heads * options.memory.knn;
      const std::vector<kernels::RowId> own =
          test.download(test.model->table_layer(block)->rows(), static_cast<std::size_t>(lookups));
      rows.insert(rows.end(), own.begin(), own.end());
    }
    return rows;
  };
  test.gradients({{batch.whole()}});
  const std::vector<kernels::RowId> rows = chosen_rows();
  for (const Parameter& parameter : test.parameters().directory()) {
    SCOPED_TRACE(parameter.declaration.name);
    const std::vector<float> value = test.read(ParameterBuffer::kValues, parameter);
    const std::vector<float> gradient = test.read(ParameterBuffer::kGradients, parameter);
    const double size = norm(gradient);
    ASSERT_GT(size, 0);
    const auto loss_at = [&](double distance) {
      std::vector<float> moved = value;
      for (std::size_t i = 0; i < moved.size(); ++i) {
        moved[i] += static_cast<float>(distance * gradient[i] / size);
      }
      test.parameters().write(*test.stream, ParameterBuffer::kValues, parameter, moved);
      const double loss = test.evaluate(batch.whole());
      EXPECT_EQ(chosen_rows(), rows) << "choose another seed";
      return loss;
    };
    const double slope = (loss_at(kStep) - loss_at(-kStep)) / (2 * kStep);
    EXPECT_NEAR(slope, size, 0.01 * size + 2e-4);
    test.parameters().write(*test.stream, ParameterBuffer::kValues, parameter, value);
  }
}

TEST(Model, GradientsMatchFiniteDifferencesWithMemory) {
  expect_gradients_match_differences(small_model_options(), 26);
}

TEST(Model, GradientsMatchFiniteDifferencesWhenDenseAndTied) {
  engine::ModelOptions options = small_model_options();
  options.feed_forward = {};
  options.tied_output = true;
  expect_gradients_match_differences(options, 17);
}

TEST(Model, GradientsMatchFiniteDifferencesOfSeparateDocuments) {
  engine::ModelOptions options = small_model_options();
  options.feed_forward = {};
  expect_gradients_match_differences(options, 17, {2, 5});
}

TEST(Model, LogitsOfADocumentAreThoseOfTheDocumentAlone) {
  engine::ModelOptions options = small_model_options();
  TestModel test(options);
  test.table->begin_evaluation(0);
  const TokenBatch batch = with_documents(random_tokens(options, 9), {2});
  const auto count = static_cast<std::size_t>(4 * options.vocabulary);
  std::vector<float> together(count), alone(count);
  test.model->logits(*test.stream, batch.sequences(0, 1), 4, together);
  test.model->logits(*test.stream,
                     {.tokens = std::span(batch.tokens).subspan(2, 4), .batch = 1, .sequence = 4},
                     4, alone);
  EXPECT_LE(relative_error(together, alone), 1e-5);
  // A call without documents reads all again.
  test.model->logits(*test.stream, random_tokens(options, 9).sequences(0, 1), 4, together);
  EXPECT_GT(relative_error(together, alone), 1e-3);
}

TEST(Model, AccumulatedMicroBatchesEqualOneBigBatch) {
  const engine::ModelOptions options = small_model_options();
  const TokenBatch batch = random_tokens(options, 5);
  TestModel whole(options);
  TestModel parts(options, {.micro_batches = 4});
  const double whole_loss = whole.gradients({{batch.whole()}});
  const double parts_loss = parts.gradients({{batch.sequences(0, 1), batch.sequences(1, 1),
                                              batch.sequences(2, 1), batch.sequences(3, 1)}});
  EXPECT_NEAR(whole_loss, parts_loss, 1e-6);
  for (const Parameter& parameter : whole.parameters().directory()) {
    EXPECT_LE(relative_error(parts.read(ParameterBuffer::kGradients, parameter),
                             whole.read(ParameterBuffer::kGradients, parameter)),
              2e-6)
        << parameter.declaration.name;
  }
  EXPECT_LE(relative_error(parts.table->dense_gradient(*parts.stream),
                           whole.table->dense_gradient(*whole.stream)),
            1e-6);
}

TEST(Model, MoreMicroBatchesThanStagingSlotsCountOnceEach) {
  engine::ModelOptions options = small_model_options();
  options.feed_forward = {};
  const TokenBatch batch = random_tokens(options, 6);
  TestModel test(options);
  std::vector<MicroBatch> many;
  double sum = 0;
  for (std::int64_t i = 0; i < 19; ++i) {
    many.push_back(batch.sequences(i % options.batch, 1));
    sum += test.evaluate(many.back());
  }
  EXPECT_NEAR(test.gradients(many), sum / 19, 1e-6);
}

// Some steps of training; returns all parameters and losses.
std::vector<float> train(const engine::ModelOptions& options, int threads) {
  TestModel test(options, {.threads = threads});
  engine::DenseOptimizer optimizer(*test.backend, test.parameters(),
                                   {.learning_rate = [](std::uint64_t) { return 1e-2; }});
  std::vector<float> result;
  for (std::uint64_t step = 1; step <= 3; ++step) {
    const TokenBatch batch = random_tokens(options, 100 + step);
    result.push_back(static_cast<float>(test.gradients({{batch.whole()}}, step)));
    optimizer.step(*test.stream, step);
    if (test.table) test.table->finish_step(*test.stream);
  }
  for (const Parameter& parameter : test.parameters().directory()) {
    const std::vector<float> values = test.read(ParameterBuffer::kValues, parameter);
    result.insert(result.end(), values.begin(), values.end());
  }
  return result;
}

TEST(Model, TrainingAgainOnOneThreadGivesTheSameBits) {
  engine::ModelOptions options = small_model_options();
  options.vocabulary = 61;
  options.width = 48;
  options.attention_heads = 4;
  options.kv_heads = 2;
  options.feed_forward_hidden = 100;
  options.sequence = 70;
  const std::vector<float> one = train(options, 1);
  const std::vector<float> two = train(options, 2);
  ASSERT_EQ(one.size(), two.size());
  EXPECT_EQ(std::memcmp(one.data(), two.data(), one.size() * sizeof(float)), 0);
}

TEST(Model, LearnsATinyBatchByHeart) {
  const engine::ModelOptions options = small_model_options();
  TestModel test(options);
  // Sequences whose next token is a function of the first token and the position.
  TokenBatch batch = random_tokens(options, 3);
  for (std::int64_t i = 0; i < options.tokens(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (i % options.sequence == 0)
      batch.tokens[at] = static_cast<std::int32_t>(i / options.sequence);
    if (i % options.sequence != 0) batch.tokens[at] = batch.targets[at - 1];
  }
  engine::DenseOptimizer optimizer(
      *test.backend, test.parameters(),
      {.learning_rate = [](std::uint64_t) { return 1e-2; }, .weight_decay = 0});
  double loss = 0;
  for (std::uint64_t step = 1; step <= 100; ++step) {
    loss = test.gradients({{batch.whole()}}, step);
    optimizer.step(*test.stream, step);
    test.table->finish_step(*test.stream);
  }
  EXPECT_LT(loss, 0.02);
}

TEST(Model, EvaluationLeavesParametersAndGradientsAlone) {
  const engine::ModelOptions options = small_model_options();
  const TokenBatch batch = random_tokens(options, 8);
  TestModel test(options);
  test.gradients({{batch.whole()}});
  const auto snapshot = [&] {
    std::vector<float> all;
    for (const auto which : {ParameterBuffer::kValues, ParameterBuffer::kGradients}) {
      for (const Parameter& parameter : test.parameters().directory()) {
        const std::vector<float> part = test.read(which, parameter);
        all.insert(all.end(), part.begin(), part.end());
      }
    }
    return all;
  };
  const std::vector<float> before = snapshot();
  std::vector<float> losses(static_cast<std::size_t>(options.tokens()));
  test.table->begin_evaluation(0);
  const double mean = test.model->evaluate(*test.stream, batch.whole(), losses);
  EXPECT_NEAR(
      std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(losses.size()), mean,
      1e-6);
  EXPECT_EQ(snapshot(), before);
}

TEST(Model, LogitsOfAPrefixDoNotDependOnWhatFollows) {
  const engine::ModelOptions options = small_model_options();
  const TokenBatch batch = random_tokens(options, 9);
  TestModel test(options);
  const auto vocabulary = static_cast<std::size_t>(options.vocabulary);
  const auto positions = static_cast<std::size_t>(options.sequence);
  std::vector<float> all(positions * vocabulary);
  test.table->begin_evaluation(0);
  test.model->logits(*test.stream, batch.sequences(1, 1), options.sequence, all);
  for (std::size_t length = 1; length <= positions; ++length) {
    std::vector<float> last(vocabulary);
    const MicroBatch prefix{.tokens = batch.sequences(1, 1).tokens.first(length),
                            .batch = 1,
                            .sequence = static_cast<std::int64_t>(length)};
    test.model->logits(*test.stream, prefix, 1, last);
    const std::vector<float> wanted(
        all.begin() + static_cast<std::ptrdiff_t>((length - 1) * vocabulary),
        all.begin() + static_cast<std::ptrdiff_t>(length * vocabulary));
    EXPECT_LE(relative_error(last, wanted), 1e-6) << length;
  }
}

TEST(Model, RejectsTokensOutsideTheVocabularyAndImpossibleShapes) {
  engine::ModelOptions options = small_model_options();
  options.feed_forward = {};
  TestModel test(options);
  TokenBatch batch = random_tokens(options, 4);
  batch.targets[3] = 13;
  EXPECT_THROW(test.evaluate(batch.whole()), io::Error);
  batch.targets[3] = 0;
  batch.tokens[5] = -1;
  EXPECT_THROW(test.gradients({{batch.whole()}}), io::Error);

  const auto rejects = [&](auto change) {
    engine::ModelOptions wrong = small_model_options();
    change(wrong);
    EXPECT_THROW(engine::declare_parameters(wrong), io::Error);
  };
  rejects([](auto& wrong) { wrong.attention_heads = 3; });
  rejects([](auto& wrong) { wrong.attention_heads = 8; });  // of an odd width
  rejects([](auto& wrong) { wrong.kv_heads = 0; });
  rejects([](auto& wrong) { wrong.feed_forward = {engine::FeedForwardKind::kMemory, {3}}; });
  rejects([](auto& wrong) { wrong.vocabulary = 0; });
}

TEST(OutputHead, ChunksOfPositionsGiveTheSameLossAndGradients) {
  constexpr std::int64_t kTokens = 11, kWidth = 6, kVocabulary = 17;
  kernels::Backend& backend = testing::test_backend();
  const auto stream = backend.create_stream();
  // Pinned memory is for both the host and the device.
  const auto buffer = [&](std::int64_t floats) {
    return backend.allocate(static_cast<std::size_t>(floats) * sizeof(float),
                            kernels::MemoryKind::kPinnedHost);
  };
  std::mt19937_64 random(12);
  std::normal_distribution<float> normal;
  const kernels::Buffer x = buffer(kTokens * kWidth), weight = buffer(kVocabulary * kWidth);
  for (std::int64_t i = 0; i < kTokens * kWidth; ++i) x.as<float>()[i] = normal(random);
  for (std::int64_t i = 0; i < kVocabulary * kWidth; ++i) weight.as<float>()[i] = normal(random);
  const kernels::Buffer targets = buffer(kTokens);
  for (std::int32_t i = 0; i < kTokens; ++i) targets.as<std::int32_t>()[i] = i % 5;

  std::vector<float> results[2];
  for (const bool chunked : {false, true}) {
    const kernels::Buffer d_weight = buffer(kVocabulary * kWidth);
    const kernels::Buffer losses = buffer(kTokens), d_x = buffer(kTokens * kWidth);
    engine::OutputHeadOptions options{.width = kWidth,
                                      .vocabulary = kVocabulary,
                                      .tokens = kTokens,
                                      .weight = weight.as<float>(),
                                      .gradient = d_weight.as<float>()};
    if (chunked) options.chunk_floats = 4 * kVocabulary;
    engine::OutputHead head(backend, options);
    head.loss_and_gradient(*stream, x.as<float>(), targets.as<std::int32_t>(), kTokens, 0.5f,
                           losses.as<float>(), d_x.as<float>());
    stream->synchronize();
    std::vector<float>& result = results[chunked ? 1 : 0];
    result.assign(losses.as<float>(), losses.as<float>() + kTokens);
    result.insert(result.end(), d_x.as<float>(), d_x.as<float>() + kTokens * kWidth);
    result.insert(result.end(), d_weight.as<float>(), d_weight.as<float>() + kVocabulary * kWidth);
    std::vector<float> logits(kTokens * kVocabulary);
    head.logits(*stream, x.as<float>(), kTokens, logits);
    result.insert(result.end(), logits.begin(), logits.end());
  }
  EXPECT_GT(norm(results[0]), 1);
  EXPECT_LE(relative_error(results[1], results[0]), 1e-6);
}

}  // namespace
}  // namespace mneme::test
