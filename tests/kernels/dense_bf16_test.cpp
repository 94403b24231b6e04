// Dense operations with bf16 operands, on the backends that take them.
#include "tests/kernels/operation_checks.h"
#include "tests/kernels/oracle/attention.h"
#include "tests/kernels/oracle/gates.h"
#include "tests/kernels/oracle/norm.h"
#include "tests/kernels/oracle/tokens.h"

namespace mneme::testing {
namespace {

using kernels::Backend;
using kernels::FloatType;
using kernels::Stream;

constexpr FloatType kF32 = FloatType::kF32, kBF16 = FloatType::kBF16;

Tensor output(const std::string& name, std::int64_t count, FloatType type) {
  return {name, garbage(count), type == kF32 ? ElementType::kFloat32 : ElementType::kBFloat16};
}

std::string with_types(const std::string& name, FloatType first, FloatType second) {
  const auto type_name = [](FloatType type) { return type == kF32 ? "f32" : "bf16"; };
  return fmt::format("{}_{}_{}", name, type_name(first), type_name(second));
}

// Rounds to nearest even, so the result is exact. `offset`: elements left out at the front, so that
// addresses are not aligned.
OperationCase convert_case(FloatType source, FloatType target, std::int64_t count,
                           std::int64_t offset) {
  Numbers numbers(83);
  OperationCase operation;
  operation.name = with_types(fmt::format("convert_{}", count), source, target);
  operation.tensors = {float_tensor("source", numbers.normal(count), source),
                       output("target", count, target)};
  operation.run = [=](Backend& backend, Stream& stream, const DeviceTensors& t) {
    const auto at_offset = [&](const char* name, FloatType type) {
      return t.as<std::byte>(name) +
             offset * static_cast<std::int64_t>(kernels::float_type_bytes(type));
    };
    backend.convert(stream, {.source = at_offset("source", source),
                             .target = at_offset("target", target),
                             .source_type = source,
                             .target_type = target,
                             .count = count - offset});
  };
  operation.oracle = [=](OracleTensors& t) {
    const Values values = rounded(t["source"], target);
    std::copy(values.begin() + offset, values.end(), t["target"].begin() + offset);
  };
  operation.tolerance = 0;
  return operation;
}

OperationCase sum_rows_case(std::int64_t rows, std::int64_t width) {
  Numbers numbers(67);
  OperationCase operation;
  operation.name = fmt::format("sum_rows_{}_{}", rows, width);
  operation.tensors = {float_tensor("x", numbers.normal(rows * width), kBF16),
                       {"out", numbers.normal(width)}};
  operation.run = [=](Backend& backend, Stream& stream, const DeviceTensors& t) {
    backend.sum_rows(stream,
                     {.x = t["x"], .type = kBF16, .out = t["out"], .rows = rows, .width = width});
  };
  operation.oracle = [=](OracleTensors& t) {
    for (std::int64_t i = 0; i < rows * width; ++i) at(t["out"], i % width) += at(t["x"], i);
  };
  return operation;
}

OperationCase norm_case(const oracle::NormShape& shape) {
  Numbers numbers(11);
  const std::int64_t count = shape.rows * shape.width;
  OperationCase operation;
  operation.name = fmt::format("norm_{}_{}", shape.rows, shape.width);
  operation.tensors = {{"x", numbers.normal(count)},
                       {"gain", numbers.normal(shape.gain_rows * shape.width)},
                       output("out", count, kBF16),
                       {"inverse", garbage(shape.rows)}};
  operation.run = [shape](Backend& backend, Stream& stream, const DeviceTensors& t) {
    backend.norm(stream, {.kind = shape.kind,
                          .x = t["x"],
                          .gain = t["gain"],
                          .out = t["out"],
                          .out_type = kBF16,
                          .inverse = t["inverse"],
                          .rows = shape.rows,
                          .width = shape.width,
                          .gain_rows = shape.gain_rows});
  };
  operation.oracle = [shape](OracleTensors& t) {
    oracle::norm(shape, t["x"], t["gain"], t["out"], t["inverse"]);
  };
  operation.tolerance = kBf16Rounding;
  return operation;
}

OperationCase rotary_case(const std::string& name, kernels::RotaryArgs args) {
  Numbers numbers(23);
  args.type = kBF16;
  OperationCase operation;
  operation.name = name;
  operation.tensors = {
      float_tensor("x", numbers.normal(args.batch * args.sequence * args.stride), kBF16)};
  operation.run = [args](Backend& backend, Stream& stream, const DeviceTensors& t) {
    kernels::RotaryArgs own = args;
    own.x = t["x"];
    backend.rotary(stream, own);
  };
  operation.oracle = [args](OracleTensors& t) { oracle::rotary(args, t["x"]); };
  operation.tolerance = kBf16Rounding;
  return operation;
}

OperationCase silu_case(FloatType type, FloatType value_type, std::int64_t count, double spread) {
  Numbers numbers(29);
  OperationCase operation;
  operation.name = with_types(fmt::format("silu_{}", count), type, value_type);
  operation.tensors = {float_tensor("gate", numbers.normal(count, spread), type),
                       float_tensor("value", numbers.normal(count), value_type),
                       output("out", count, type)};
  operation.run = [=](Backend& backend, Stream& stream, const DeviceTensors& t) {
    backend.gated_silu(stream, {.type = type,
                                .value_type = value_type,
                                .gate = t["gate"],
                                .value = t["value"],
                                .out = t["out"],
                                .count = count});
  };
  operation.oracle = [](OracleTensors& t) { oracle::gated_silu(t["gate"], t["value"], t["out"]); };
  operation.tolerance = type == kF32 ? 1e-5 : kBf16Rounding;
  return operation;
}

// With `in_place`, d_gate takes the place of d_out.
OperationCase silu_backward_case(FloatType type, FloatType value_type, std::int64_t count,
                                 bool in_place) {
  Numbers numbers(31);
  OperationCase operation = silu_case(type, value_type, count, 1.0);
  operation.name = with_types(fmt::format("silu_backward_{}", count), type, value_type);
  const std::string d_gate = in_place ? "d_out" : "d_gate";
  operation.tensors.push_back(float_tensor("d_out", numbers.normal(count), type));
  operation.tensors.push_back(output("d_value", count, value_type));
  if (!in_place) operation.tensors.push_back(output("d_gate", count, type));
  operation.run = [=](Backend& backend, Stream& stream, const DeviceTensors& t) {
    backend.gated_silu_backward(stream, {.type = type,
                                         .value_type = value_type,
                                         .gate = t["gate"],
                                         .value = t["value"],
                                         .d_out = t["d_out"],
                                         .d_gate = t[d_gate],
                                         .d_value = t["d_value"],
                                         .count = count});
  };
  operation.oracle = [d_gate](OracleTensors& t) {
    oracle::gated_silu_backward(t["gate"], t["value"], t["d_out"], t[d_gate], t["d_value"]);
  };
  operation.tolerance = kBf16Rounding;
  return operation;
}

OperationCase scalar_gate_case(const oracle::ScalarGateShape& shape, bool backward) {
  Numbers numbers(37);
  const std::int64_t values = shape.tokens * shape.value_width;
  OperationCase operation;
  operation.name = fmt::format("scalar_gate{}_{}", backward ? "_backward" : "", shape.width);
  operation.tensors = {float_tensor("x", numbers.normal(shape.tokens * shape.width), kBF16),
                       {"weight", numbers.normal(shape.width, 0.05)},
                       {"bias", numbers.normal(1)},
                       {"value", numbers.normal(values)},
                       {"out", garbage(values)},
                       {"rho", garbage(shape.tokens)}};
  const auto forward = [shape](const DeviceTensors& t) {
    return kernels::ScalarGateArgs{.x = t["x"],
                                   .x_type = kBF16,
                                   .weight = t["weight"],
                                   .bias = t["bias"],
                                   .value = t["value"],
                                   .out = t["out"],
                                   .rho = t["rho"],
                                   .tokens = shape.tokens,
                                   .width = shape.width,
                                   .value_width = shape.value_width};
  };
  operation.run = [=](Backend& backend, Stream& stream, const DeviceTensors& t) {
    backend.scalar_gate(stream, forward(t));
    if (!backward) return;
    backend.scalar_gate_backward(stream, {.forward = forward(t),
                                          .d_out = t["d_out"],
                                          .d_value = t["d_value"],
                                          .d_x = t["d_x"],
                                          .d_weight = t["d_weight"],
                                          .d_bias = t["d_bias"]});
  };
  operation.oracle = [=](OracleTensors& t) {
    oracle::scalar_gate(shape, t["x"], t["weight"], t["bias"], t["value"], t["out"], t["rho"]);
    if (!backward) return;
    oracle::scalar_gate_backward(shape, t["x"], t["weight"], t["bias"], t["value"], t["d_out"],
                                 {t["d_value"], t["d_x"], t["d_weight"], t["d_bias"]});
  };
  if (backward) {
    operation.tensors.push_back({"d_out", numbers.normal(values)});
    operation.tensors.push_back({"d_value", garbage(values)});
    operation.tensors.push_back({"d_x", numbers.normal(shape.tokens * shape.width)});
    operation.tensors.push_back({"d_weight", numbers.normal(shape.width)});
    operation.tensors.push_back({"d_bias", numbers.normal(1)});
  }
  return operation;
}

// The gradient's rows lie at the start of the logits' rows and are copied from there.
OperationCase cross_entropy_case(std::int64_t rows, std::int64_t vocabulary) {
  Numbers numbers(59);
  OperationCase operation;
  operation.name = fmt::format("cross_entropy_{}_{}", rows, vocabulary);
  operation.tensors = {
      {"logits", numbers.normal(rows * vocabulary, 2.0), ElementType::kFloat32, true},
      {"targets", numbers.below(rows, vocabulary), ElementType::kInt32},
      {"losses", garbage(rows)},
      output("gradient", rows * vocabulary, kBF16)};
  const float d_scale = 0.125f;
  operation.run = [=](Backend& backend, Stream& stream, const DeviceTensors& t) {
    backend.cross_entropy(stream, {.logits = t["logits"],
                                   .gradient_type = kBF16,
                                   .targets = t.as<std::int32_t>("targets"),
                                   .losses = t["losses"],
                                   .rows = rows,
                                   .vocabulary = vocabulary,
                                   .d_scale = d_scale});
    for (std::int64_t r = 0; r < rows; ++r) {
      backend.copy(stream, t.as<std::uint16_t>("gradient") + r * vocabulary,
                   t["logits"] + r * vocabulary, static_cast<std::size_t>(vocabulary) * 2);
    }
  };
  operation.oracle = [=](OracleTensors& t) {
    oracle::cross_entropy(vocabulary, static_cast<double>(d_scale), t["logits"], t["targets"],
                          t["losses"]);
    t["gradient"] = t["logits"];
  };
  operation.tolerance = kBf16Rounding;
  return operation;
}

std::vector<OperationCase> elementwise_cases() {
  std::vector<OperationCase> cases;
  for (const FloatType first : {kF32, kBF16}) {
    for (const FloatType second : {kF32, kBF16}) {
      cases.push_back(convert_case(first, second, 1, 0));
      cases.push_back(convert_case(first, second, 5003, 0));
      cases.push_back(convert_case(first, second, 10000, 1));
      cases.push_back(silu_case(first, second, 7, 1.0));
      cases.push_back(silu_case(first, second, 8195, 1.0));
      cases.push_back(silu_case(first, second, 2000, 60.0));
      cases.push_back(silu_backward_case(first, second, 8195, false));
      cases.push_back(silu_backward_case(first, second, 2000, true));
    }
  }
  return cases;
}

std::vector<OperationCase> row_cases() {
  using enum kernels::NormKind;
  kernels::RotaryArgs rotary{
      .batch = 2, .sequence = 70, .heads = 3, .head_width = 64, .stride = 192};
  kernels::RotaryArgs pairs{.batch = 2, .sequence = 97, .heads = 3, .head_width = 10, .stride = 35};
  kernels::RotaryArgs wide{.batch = 3,
                           .sequence = 5,
                           .heads = 72,
                           .head_width = 128,
                           .stride = 9224,
                           .first_position = 40000,
                           .inverse = true};
  return {sum_rows_case(1000, 37),
          sum_rows_case(20000, 8),
          sum_rows_case(300, 520),
          norm_case({kRms, 33, 256, 1}),
          norm_case({kRms, 35, 37, 5}),
          norm_case({kL2, 9, 1000, 1}),
          norm_case({kRms, 2, 8204, 1}),
          rotary_case("rotary", rotary),
          rotary_case("rotary_pairs", pairs),
          rotary_case("rotary_wide", wide),
          scalar_gate_case({130, 37, 21}, false),
          scalar_gate_case({20, 1032, 24}, false),
          scalar_gate_case({300, 37, 21}, true),
          scalar_gate_case({20, 1032, 24}, true),
          cross_entropy_case(70, 101),
          cross_entropy_case(5, 4096),
          cross_entropy_case(3, 17000),
          cross_entropy_case(3, 50021),
          cross_entropy_case(2, 66004)};
}

INSTANTIATE_TEST_SUITE_P(Bf16Elementwise, OperationTest, on_bf16_backends(elementwise_cases()),
                         case_name);
INSTANTIATE_TEST_SUITE_P(Bf16Rows, OperationTest, on_bf16_backends(row_cases()), case_name);

}  // namespace
}  // namespace mneme::testing
