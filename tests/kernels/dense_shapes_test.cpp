// Dense operations at sizes where a backend may change how it spreads them over threads, at
// unaligned addresses, and with token ids that no table has.
#include <cmath>

#include "io/error.h"
#include "tests/kernels/operation_checks.h"
#include "tests/kernels/oracle/norm.h"
#include "tests/kernels/oracle/tokens.h"
#include "tests/kernels/pinned.h"

namespace mneme::testing {
namespace {

using kernels::Backend;
using kernels::Stream;
using oracle::NormShape;

OperationCase norm_case(const NormShape& shape) {
  Numbers numbers(11);
  const std::int64_t count = shape.rows * shape.width;
  OperationCase operation;
  operation.name = fmt::format("norm_{}_{}_{}", shape.rows, shape.width, shape.gain_rows);
  operation.tensors = {{"x", numbers.normal(count)},
                       {"gain", numbers.normal(shape.gain_rows * shape.width)},
                       {"out", garbage(count)},
                       {"inverse", garbage(shape.rows)}};
  operation.run = [shape](Backend& backend, Stream& stream, const DeviceTensors& t) {
    backend.norm(stream, {.kind = shape.kind,
                          .x = t["x"],
                          .gain = t["gain"],
                          .out = t["out"],
                          .inverse = t["inverse"],
                          .rows = shape.rows,
                          .width = shape.width,
                          .gain_rows = shape.gain_rows});
  };
  operation.oracle = [shape](OracleTensors& t) {
    oracle::norm(shape, t["x"], t["gain"], t["out"], t["inverse"]);
  };
  return operation;
}

OperationCase norm_backward_case(const NormShape& shape, bool accumulate) {
  Numbers numbers(13);
  const std::int64_t count = shape.rows * shape.width, gains = shape.gain_rows * shape.width;
  OperationCase operation = norm_case(shape);
  operation.name = fmt::format("norm_backward_{}_{}_{}", shape.rows, shape.width, shape.gain_rows);
  Tensor& inverse = operation.tensors.back();
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    at(inverse.values, row) =
        static_cast<float>(oracle::norm_factor(shape, operation.tensors[0].values, row));
  }
  operation.tensors.push_back({"d_out", numbers.normal(count)});
  operation.tensors.push_back({"d_x", accumulate ? numbers.normal(count) : garbage(count)});
  operation.tensors.push_back({"d_gain", numbers.normal(gains)});
  operation.run = [=](Backend& backend, Stream& stream, const DeviceTensors& t) {
    backend.norm_backward(stream, {.kind = shape.kind,
                                   .x = t["x"],
                                   .gain = t["gain"],
                                   .inverse = t["inverse"],
                                   .d_out = t["d_out"],
                                   .d_x = t["d_x"],
                                   .d_gain = t["d_gain"],
                                   .rows = shape.rows,
                                   .width = shape.width,
                                   .gain_rows = shape.gain_rows,
                                   .accumulate = accumulate});
  };
  operation.oracle = [=](OracleTensors& t) {
    oracle::norm_backward(shape, accumulate, t["x"], t["gain"], t["d_out"], t["d_x"], t["d_gain"]);
  };
  return operation;
}

OperationCase cross_entropy_case(std::int64_t rows, std::int64_t vocabulary) {
  Numbers numbers(59);
  const float d_scale = 0.125f;
  OperationCase operation;
  operation.name = fmt::format("cross_entropy_{}_{}", rows, vocabulary);
  operation.tensors = {{"logits", numbers.normal(rows * vocabulary, 2.0)},
                       {"targets", numbers.below(rows, vocabulary), ElementType::kInt32},
                       {"losses", garbage(rows)}};
  operation.run = [=](Backend& backend, Stream& stream, const DeviceTensors& t) {
    backend.cross_entropy(stream, {.logits = t["logits"],
                                   .targets = t.as<std::int32_t>("targets"),
                                   .losses = t["losses"],
                                   .rows = rows,
                                   .vocabulary = vocabulary,
                                   .d_scale = d_scale});
  };
  operation.oracle = [=](OracleTensors& t) {
    oracle::cross_entropy(vocabulary, static_cast<double>(d_scale), t["logits"], t["targets"],
                          t["losses"]);
  };
  return operation;
}

OperationCase embedding_backward_case(std::int64_t count, std::int64_t width,
                                      std::int64_t vocabulary) {
  Numbers numbers(53);
  OperationCase operation;
  operation.name = fmt::format("embedding_backward_{}_{}_{}", count, width, vocabulary);
  operation.tensors = {{"tokens", numbers.below(count, vocabulary), ElementType::kInt32},
                       {"d_out", numbers.normal(count * width)},
                       {"d_table", numbers.normal(vocabulary * width)}};
  operation.run = [=](Backend& backend, Stream& stream, const DeviceTensors& t) {
    backend.embedding_backward(stream, {.tokens = t.as<std::int32_t>("tokens"),
                                        .d_out = t["d_out"],
                                        .d_table = t["d_table"],
                                        .count = count,
                                        .width = width,
                                        .vocabulary = vocabulary});
  };
  operation.oracle = [=](OracleTensors& t) {
    oracle::embedding_backward(width, t["tokens"], t["d_out"], t["d_table"]);
  };
  return operation;
}

OperationCase sum_rows_case(std::int64_t rows, std::int64_t width) {
  Numbers numbers(67);
  OperationCase operation;
  operation.name = fmt::format("sum_rows_{}_{}", rows, width);
  operation.tensors = {{"x", numbers.normal(rows * width)}, {"out", numbers.normal(width)}};
  operation.run = [=](Backend& backend, Stream& stream, const DeviceTensors& t) {
    backend.sum_rows(stream, {.x = t["x"], .out = t["out"], .rows = rows, .width = width});
  };
  operation.oracle = [=](OracleTensors& t) {
    for (std::int64_t i = 0; i < rows * width; ++i) at(t["out"], i % width) += at(t["x"], i);
  };
  return operation;
}

// A clip factor of 0 makes gradients 0, whatever they are.
OperationCase adamw_without_gradients_case() {
  Numbers numbers(79);
  const std::int64_t count = 1003;
  OperationCase operation;
  operation.name = "adamw_without_gradients";
  operation.tensors = {{"values", numbers.normal(count)},
                       {"gradients", garbage(count)},
                       {"moment1", numbers.normal(count, 0.1)},
                       {"moment2", Values(static_cast<std::size_t>(count), 0.25)},
                       {"grad_scale", {0.0}}};
  operation.run = [=](Backend& backend, Stream& stream, const DeviceTensors& t) {
    backend.adamw(stream, {.parameters = t["values"],
                           .gradients = t["gradients"],
                           .moment1 = t["moment1"],
                           .moment2 = t["moment2"],
                           .count = count,
                           .step = 1,
                           .learning_rate = 0.5f,
                           .beta1 = 0.5f,
                           .beta2 = 0.5f,
                           .grad_scale = t["grad_scale"]});
  };
  operation.oracle = [=](OracleTensors& t) {
    for (std::int64_t i = 0; i < count; ++i) {
      at(t["values"], i) -= 0.5 * at(t["moment1"], i) / std::sqrt(at(t["moment2"], i));
      at(t["moment1"], i) *= 0.5;
      at(t["moment2"], i) *= 0.5;
    }
  };
  return operation;
}

std::vector<OperationCase> cases() {
  using enum kernels::NormKind;
  return {norm_case({kRms, 9, 512, 1}),
          norm_case({kRms, 3, 516, 1}),
          norm_case({kL2, 3, 2047, 2}),
          norm_case({kRms, 2, 5120, 1}),
          norm_case({kRms, 2, 8192, 1}),
          norm_case({kRms, 3, 8204, 1}),
          norm_case({kL2, 2, 16999, 1}),
          norm_backward_case({kRms, 0, 8, 1}, false),
          norm_backward_case({kRms, 3, 8, 7}, true),
          norm_backward_case({kRms, 9000, 8, 1}, true),
          norm_backward_case({kL2, 40, 512, 3}, false),
          norm_backward_case({kRms, 40, 516, 1}, true),
          norm_backward_case({kRms, 5, 2047, 2}, false),
          norm_backward_case({kRms, 1, 8192, 1}, true),
          norm_backward_case({kRms, 2, 8204, 1}, true),
          norm_backward_case({kL2, 1, 8203, 1}, false),
          cross_entropy_case(5, 4096),
          cross_entropy_case(3, 17000),
          cross_entropy_case(2, 65537),
          embedding_backward_case(0, 4, 3),
          embedding_backward_case(5000, 132, 3),
          embedding_backward_case(700, 5, 100),
          sum_rows_case(20000, 12),
          sum_rows_case(129, 1000),
          adamw_without_gradients_case()};
}

INSTANTIATE_TEST_SUITE_P(Shapes, OperationTest, on_every_backend(cases()), case_name);

// Inputs and outputs of a few operations, all of them `shift` floats into their buffers.
std::vector<float> results_at(Backend& backend, std::int64_t shift) {
  constexpr std::int64_t kRows = 70, kWidth = 1028;
  Numbers numbers(97);
  const auto shifted = [&](const Values& values) {
    Pinned<float> buffer(backend, static_cast<std::int64_t>(values.size()) + shift);
    std::copy(values.begin(), values.end(), buffer.data() + shift);
    return buffer;
  };
  const auto x = shifted(numbers.normal(kRows * kWidth)), gain = shifted(numbers.normal(kWidth)),
             d_out = shifted(numbers.normal(kRows * kWidth)),
             sums = shifted(Values(kRows * 2 + kWidth * 2)), out = shifted(Values(kRows * kWidth)),
             d_x = shifted(Values(kRows * kWidth));
  const Pinned<std::int32_t> targets(backend, kRows, 3);
  const Pinned<double> squares(backend, 1);
  float* inverse = sums.data() + shift;
  float* d_gain = inverse + kRows * 2;
  const auto stream = backend.create_stream();
  backend.sum_of_squares(*stream, x.data() + shift, kRows * kWidth, squares.data());
  backend.sum_rows(*stream,
                   {.x = x.data() + shift, .out = d_gain + kWidth, .rows = kRows, .width = kWidth});
  backend.norm(*stream, {.x = x.data() + shift,
                         .gain = gain.data() + shift,
                         .out = out.data() + shift,
                         .inverse = inverse,
                         .rows = kRows,
                         .width = kWidth});
  backend.norm_backward(*stream, {.x = x.data() + shift,
                                  .gain = gain.data() + shift,
                                  .inverse = inverse,
                                  .d_out = d_out.data() + shift,
                                  .d_x = d_x.data() + shift,
                                  .d_gain = d_gain,
                                  .rows = kRows,
                                  .width = kWidth});
  backend.cross_entropy(*stream, {.logits = x.data() + shift,
                                  .targets = targets.data(),
                                  .losses = inverse + kRows,
                                  .rows = kRows,
                                  .vocabulary = kWidth,
                                  .d_scale = 1.0f});
  stream->synchronize();
  std::vector<float> results = {static_cast<float>(squares[0])};
  for (const auto* buffer : {&x, &sums, &out, &d_x}) {
    results.insert(results.end(), buffer->data() + shift, buffer->data() + buffer->size());
  }
  return results;
}

TEST(Sums, DoNotDependOnWhereTheirNumbersLie) {
  for (const TestBackend& under_test : backends_under_test()) {
    SCOPED_TRACE(under_test.name);
    Backend& backend = shared_backend(under_test);
    const std::vector<float> aligned = results_at(backend, 0);
    for (const std::int64_t shift : {1, 2}) EXPECT_TRUE(aligned == results_at(backend, shift));
  }
}

// Runs an operation that finds fault with its tokens, and gives its error.
template <typename Run>
std::string error_of(Backend& backend, const Run& run) {
  const auto stream = backend.create_stream();
  run(*stream);
  try {
    stream->synchronize();
  } catch (const io::Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(TokenIds, OfGradientsAndTargetsAreCheckedToo) {
  for (const TestBackend& under_test : backends_under_test()) {
    SCOPED_TRACE(under_test.name);
    Backend& backend = shared_backend(under_test);
    for (const std::int32_t bad : {-1, 4, 1 << 30}) {
      Pinned<std::int32_t> tokens(backend, {2, bad, 1});
      Pinned<float> rows(backend, 3 * 4, 1.0f), table(backend, 4 * 4, 1.0f), losses(backend, 3);
      const std::string gradient = error_of(backend, [&](Stream& stream) {
        backend.embedding_backward(stream, {.tokens = tokens.data(),
                                            .d_out = rows.data(),
                                            .d_table = table.data(),
                                            .count = 3,
                                            .width = 4,
                                            .vocabulary = 4});
      });
      EXPECT_NE(gradient.find(fmt::format("token {} at position 1", bad)), std::string::npos)
          << gradient;
      const std::string target = error_of(backend, [&](Stream& stream) {
        backend.cross_entropy(stream, {.logits = rows.data(),
                                       .targets = tokens.data(),
                                       .losses = losses.data(),
                                       .rows = 3,
                                       .vocabulary = 4,
                                       .d_scale = 1.0f});
      });
      EXPECT_NE(target.find(fmt::format("target {} of row 1", bad)), std::string::npos) << target;
    }
  }
}

}  // namespace
}  // namespace mneme::testing
