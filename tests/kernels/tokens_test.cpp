// Embedding and cross-entropy: the two ends of the model, where token ids come in.
#include "tests/kernels/oracle/tokens.h"
#include "io/error.h"
#include "tests/kernels/operation_checks.h"
#include "tests/kernels/pinned.h"

namespace mneme::testing {
namespace {

struct EmbeddingShape {
  std::int64_t count, width, vocabulary;
};

Tensor token_ids(const std::string& name, std::int64_t count, std::int64_t vocabulary) {
  Numbers numbers(43);
  return {name, numbers.below(count, vocabulary), ElementType::kInt32};
}

OperationCase embedding_case(const std::string& name, const EmbeddingShape& shape) {
  Numbers numbers(47);
  OperationCase operation;
  operation.name = name;
  operation.tensors = {token_ids("tokens", shape.count, shape.vocabulary),
                       {"table", numbers.normal(shape.vocabulary * shape.width)},
                       {"out", garbage(shape.count * shape.width)}};
  operation.run = [shape](kernels::Backend& backend, kernels::Stream& stream,
                          const DeviceTensors& tensors) {
    backend.embedding(stream, {.tokens = tensors.as<std::int32_t>("tokens"),
                               .table = tensors["table"],
                               .out = tensors["out"],
                               .count = shape.count,
                               .width = shape.width,
                               .vocabulary = shape.vocabulary});
  };
  operation.oracle = [shape](OracleTensors& t) {
    oracle::embedding(shape.width, t["tokens"], t["table"], t["out"]);
  };
  operation.tolerance = 0;  // a copy
  return operation;
}

OperationCase embedding_backward_case(const std::string& name, const EmbeddingShape& shape) {
  Numbers numbers(53);
  OperationCase operation = embedding_case(name, shape);
  operation.tolerance = 1e-5;
  operation.tensors.push_back({"d_out", numbers.normal(shape.count * shape.width)});
  operation.tensors.push_back({"d_table", numbers.normal(shape.vocabulary * shape.width)});
  operation.differentiation.forward = operation.oracle;
  operation.differentiation.outputs = {{"out", "d_out"}};
  operation.differentiation.inputs = {{"table", "d_table"}};
  operation.differentiation.accumulated = {"d_table"};
  operation.run = [shape](kernels::Backend& backend, kernels::Stream& stream,
                          const DeviceTensors& tensors) {
    backend.embedding_backward(stream, {.tokens = tensors.as<std::int32_t>("tokens"),
                                        .d_out = tensors["d_out"],
                                        .d_table = tensors["d_table"],
                                        .count = shape.count,
                                        .width = shape.width,
                                        .vocabulary = shape.vocabulary});
  };
  operation.oracle = [shape](OracleTensors& t) {
    oracle::embedding_backward(shape.width, t["tokens"], t["d_out"], t["d_table"]);
  };
  return operation;
}

struct CrossEntropyShape {
  std::int64_t rows, vocabulary;
  float d_scale;
  double spread = 1.0;
};

OperationCase cross_entropy_case(const std::string& name, const CrossEntropyShape& shape) {
  Numbers numbers(59);
  OperationCase operation;
  operation.name = name;
  operation.tensors = {{"logits", numbers.normal(shape.rows * shape.vocabulary, shape.spread)},
                       token_ids("targets", shape.rows, shape.vocabulary),
                       {"losses", garbage(shape.rows)}};
  operation.run = [shape](kernels::Backend& backend, kernels::Stream& stream,
                          const DeviceTensors& tensors) {
    backend.cross_entropy(stream, {.logits = tensors["logits"],
                                   .targets = tensors.as<std::int32_t>("targets"),
                                   .losses = tensors["losses"],
                                   .rows = shape.rows,
                                   .vocabulary = shape.vocabulary,
                                   .d_scale = shape.d_scale});
  };
  operation.oracle = [shape](OracleTensors& t) {
    oracle::cross_entropy(shape.vocabulary, static_cast<double>(shape.d_scale), t["logits"],
                          t["targets"], t["losses"]);
  };
  // The gradient replaces the logits; every row's loss has d_scale as its cotangent.
  operation.tensors.push_back(
      {"d_losses", Values(static_cast<std::size_t>(shape.rows), shape.d_scale)});
  operation.differentiation.forward = [shape](OracleTensors& t) {
    oracle::cross_entropy(shape.vocabulary, 0.0, t["logits"], t["targets"], t["losses"]);
  };
  operation.differentiation.outputs = {{"losses", "d_losses"}};
  operation.differentiation.inputs = {{"logits", "logits"}};
  return operation;
}

// The gradient in bf16: row r at the start of row r of the logits, the rest of the row undefined.
OperationCase bf16_gradient_case(const std::string& name, const CrossEntropyShape& shape) {
  OperationCase operation = cross_entropy_case(name, shape);
  operation.differentiation = {};
  operation.tolerance = kBf16Rounding;
  operation.tensors[0].scratch = true;
  operation.tensors.push_back({"gradient", garbage(shape.rows * shape.vocabulary)});
  operation.run = [shape](kernels::Backend& backend, kernels::Stream& stream,
                          const DeviceTensors& tensors) {
    backend.cross_entropy(stream, {.logits = tensors["logits"],
                                   .gradient_type = kernels::FloatType::kBF16,
                                   .targets = tensors.as<std::int32_t>("targets"),
                                   .losses = tensors["losses"],
                                   .rows = shape.rows,
                                   .vocabulary = shape.vocabulary,
                                   .d_scale = shape.d_scale});
    for (std::int64_t row = 0; row < shape.rows; ++row) {
      backend.convert(stream, {.source = tensors["logits"] + row * shape.vocabulary,
                               .target = tensors["gradient"] + row * shape.vocabulary,
                               .source_type = kernels::FloatType::kBF16,
                               .target_type = kernels::FloatType::kF32,
                               .count = shape.vocabulary});
    }
  };
  operation.oracle = [shape](OracleTensors& t) {
    oracle::cross_entropy(shape.vocabulary, static_cast<double>(shape.d_scale), t["logits"],
                          t["targets"], t["losses"]);
    t["gradient"] = t["logits"];
  };
  return operation;
}

std::vector<OperationCase> embedding_cases() {
  return {embedding_case("embedding_single", {1, 1, 1}), embedding_case("embedding", {150, 37, 50}),
          embedding_case("embedding_wide", {40, 520, 9}),
          embedding_case("embedding_many", {70001, 2, 300})};
}
std::vector<OperationCase> embedding_backward_cases() {
  return {embedding_backward_case("embedding_backward_single", {1, 1, 1}),
          embedding_backward_case("embedding_backward_repeats", {300, 37, 7}),
          embedding_backward_case("embedding_backward_wide", {40, 200, 30}),
          // One token over and over, and many tokens.
          embedding_backward_case("embedding_backward_one_token", {3000, 8, 1}),
          embedding_backward_case("embedding_backward_many", {70001, 2, 300})};
}
std::vector<OperationCase> loss_only_cases() {
  return {cross_entropy_case("loss_only", {70, 101, 0.0f})};
}
std::vector<OperationCase> cross_entropy_cases() {
  return {cross_entropy_case("two_tokens", {1, 2, 1.0f}),
          cross_entropy_case("odd", {70, 101, 0.125f}),
          cross_entropy_case("large_vocabulary", {3, 50021, 0.5f}),
          cross_entropy_case("large_logits", {20, 33, 1.0f, 50.0})};
}

std::vector<OperationCase> bf16_cases() {
  return {bf16_gradient_case("bf16_two_tokens", {1, 2, 1.0f}),
          bf16_gradient_case("bf16_odd", {70, 101, 0.125f}),
          bf16_gradient_case("bf16_even", {9, 256, 0.5f}),
          bf16_gradient_case("bf16_4096", {5, 4096, 0.125f}),
          bf16_gradient_case("bf16_17000", {3, 17000, 0.125f}),
          bf16_gradient_case("bf16_large_vocabulary", {3, 50021, 0.5f}),
          bf16_gradient_case("bf16_66004", {2, 66004, 0.125f}),
          bf16_gradient_case("bf16_large_logits", {20, 33, 1.0f, 50.0})};
}

INSTANTIATE_TEST_SUITE_P(CrossEntropyBf16, OperationTest, on_bf16_backends(bf16_cases()),
                         case_name);
INSTANTIATE_TEST_SUITE_P(Embedding, OperationTest, on_every_backend(embedding_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(EmbeddingBackward, OperationTest,
                         on_every_backend(embedding_backward_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(EmbeddingBackward, GradientTest,
                         on_every_backend(embedding_backward_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(CrossEntropyLoss, OperationTest, on_every_backend(loss_only_cases()),
                         case_name);
INSTANTIATE_TEST_SUITE_P(CrossEntropy, OperationTest, on_every_backend(cross_entropy_cases()),
                         case_name);
INSTANTIATE_TEST_SUITE_P(CrossEntropy, GradientTest, on_every_backend(cross_entropy_cases()),
                         case_name);

TEST(TokenIds, OutsideTheVocabularyAreAnErrorThatNamesThem) {
  for (const TestBackend& under_test : backends_under_test()) {
    SCOPED_TRACE(under_test.name);
    kernels::Backend& backend = shared_backend(under_test);
    const auto stream = backend.create_stream();
    const Pinned<std::int32_t> tokens(backend, 1, 4);
    const auto table = backend.allocate(4 * 4, kernels::MemoryKind::kDevice);
    backend.embedding(*stream, {.tokens = tokens.data(),
                                .table = table.as<float>(),
                                .out = table.as<float>(),
                                .count = 1,
                                .width = 1,
                                .vocabulary = 4});
    try {
      stream->synchronize();
      ADD_FAILURE() << "no error";
    } catch (const io::Error& error) {
      EXPECT_NE(std::string(error.what()).find("token 4"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace mneme::testing
