#include "tests/kernels/oracle/gates.h"
#include "tests/kernels/operation_checks.h"

namespace mneme::testing {
namespace {

using kernels::FloatType;

struct SiluTypes {
  FloatType type = FloatType::kF32;        // of gate, out and their gradients
  FloatType value_type = FloatType::kF32;  // of value and its gradient

  bool exact() const { return type == FloatType::kF32 && value_type == FloatType::kF32; }
};

OperationCase silu_case(const std::string& name, std::int64_t count, double spread,
                        const SiluTypes& types = {}) {
  Numbers numbers(29);
  OperationCase operation;
  operation.name = name;
  operation.tensors = {float_tensor("gate", numbers.normal(count, spread), types.type),
                       float_tensor("value", numbers.normal(count), types.value_type),
                       float_tensor("out", garbage(count), types.type)};
  if (!types.exact()) operation.tolerance = kBf16Rounding;
  operation.run = [count, types](kernels::Backend& backend, kernels::Stream& stream,
                                 const DeviceTensors& tensors) {
    backend.gated_silu(stream, {.type = types.type,
                                .value_type = types.value_type,
                                .gate = tensors["gate"],
                                .value = tensors["value"],
                                .out = tensors["out"],
                                .count = count});
  };
  operation.oracle = [](OracleTensors& t) { oracle::gated_silu(t["gate"], t["value"], t["out"]); };
  return operation;
}

// With `in_place`, d_gate takes the place of d_out.
OperationCase silu_backward_case(const std::string& name, std::int64_t count, bool in_place,
                                 const SiluTypes& types = {}) {
  Numbers numbers(31);
  OperationCase operation = silu_case(name, count, 1.0, types);
  const std::string d_gate = in_place ? "d_out" : "d_gate";
  operation.tensors.push_back(float_tensor("d_out", numbers.normal(count), types.type));
  operation.tensors.push_back(float_tensor("d_value", garbage(count), types.value_type));
  if (!in_place) operation.tensors.push_back(float_tensor("d_gate", garbage(count), types.type));
  operation.run = [count, d_gate, types](kernels::Backend& backend, kernels::Stream& stream,
                                         const DeviceTensors& tensors) {
    backend.gated_silu_backward(stream, {.type = types.type,
                                         .value_type = types.value_type,
                                         .gate = tensors["gate"],
                                         .value = tensors["value"],
                                         .d_out = tensors["d_out"],
                                         .d_gate = tensors[d_gate],
                                         .d_value = tensors["d_value"],
                                         .count = count});
  };
  operation.oracle = [d_gate](OracleTensors& t) {
    oracle::gated_silu_backward(t["gate"], t["value"], t["d_out"], t[d_gate], t["d_value"]);
  };
  operation.differentiation.forward = [](OracleTensors& t) {
    oracle::gated_silu(t["gate"], t["value"], t["out"]);
  };
  operation.differentiation.outputs = {{"out", "d_out"}};
  operation.differentiation.inputs = {{"gate", d_gate}, {"value", "d_value"}};
  return operation;
}

using oracle::ScalarGateShape;

kernels::ScalarGateArgs arguments(const ScalarGateShape& shape, const DeviceTensors& tensors,
                                  const std::string& out, FloatType x_type) {
  return {.x = tensors["x"],
          .x_type = x_type,
          .weight = tensors["weight"],
          .bias = tensors["bias"],
          .value = tensors["value"],
          .out = tensors[out],
          .rho = tensors["rho"],
          .tokens = shape.tokens,
          .width = shape.width,
          .value_width = shape.value_width};
}

// With `in_place`, out takes the place of value.
OperationCase scalar_case(const std::string& name, const ScalarGateShape& shape, bool in_place,
                          FloatType x_type = FloatType::kF32) {
  Numbers numbers(37);
  const std::string out = in_place ? "value" : "out";
  OperationCase operation;
  operation.name = name;
  operation.tensors = {float_tensor("x", numbers.normal(shape.tokens * shape.width), x_type),
                       {"weight", numbers.normal(shape.width, 0.3)},
                       {"bias", numbers.normal(1)},
                       {"value", numbers.normal(shape.tokens * shape.value_width)},
                       {"out", garbage(shape.tokens * shape.value_width)},
                       {"rho", garbage(shape.tokens)}};
  operation.run = [shape, out, x_type](kernels::Backend& backend, kernels::Stream& stream,
                                       const DeviceTensors& tensors) {
    backend.scalar_gate(stream, arguments(shape, tensors, out, x_type));
  };
  operation.oracle = [shape, out](OracleTensors& t) {
    oracle::scalar_gate(shape, t["x"], t["weight"], t["bias"], t["value"], t[out], t["rho"]);
  };
  return operation;
}

// With `in_place`, d_value takes the place of d_out.
OperationCase scalar_backward_case(const std::string& name, const ScalarGateShape& shape,
                                   bool in_place, FloatType x_type = FloatType::kF32) {
  Numbers numbers(41);
  const std::int64_t values = shape.tokens * shape.value_width;
  OperationCase operation = scalar_case(name, shape, false, x_type);
  OracleTensors computed(operation.tensors);
  operation.oracle(computed);
  Values& rho = operation.tensors.back().values;
  rho = computed["rho"];
  for (double& value : rho) value = static_cast<float>(value);
  const std::string d_value = in_place ? "d_out" : "d_value";
  operation.tensors.push_back({"d_out", numbers.normal(values)});
  if (!in_place) operation.tensors.push_back({"d_value", garbage(values)});
  operation.tensors.push_back({"d_x", numbers.normal(shape.tokens * shape.width)});
  operation.tensors.push_back({"d_weight", numbers.normal(shape.width)});
  operation.tensors.push_back({"d_bias", numbers.normal(1)});
  operation.differentiation.forward = operation.oracle;
  operation.run = [shape, d_value, x_type](kernels::Backend& backend, kernels::Stream& stream,
                                           const DeviceTensors& tensors) {
    backend.scalar_gate_backward(stream, {.forward = arguments(shape, tensors, "out", x_type),
                                          .d_out = tensors["d_out"],
                                          .d_value = tensors[d_value],
                                          .d_x = tensors["d_x"],
                                          .d_weight = tensors["d_weight"],
                                          .d_bias = tensors["d_bias"]});
  };
  operation.oracle = [shape, d_value](OracleTensors& t) {
    oracle::scalar_gate_backward(shape, t["x"], t["weight"], t["bias"], t["value"], t["d_out"],
                                 {t[d_value], t["d_x"], t["d_weight"], t["d_bias"]});
  };
  operation.differentiation.outputs = {{"out", "d_out"}};
  operation.differentiation.inputs = {
      {"value", d_value}, {"x", "d_x"}, {"weight", "d_weight"}, {"bias", "d_bias"}};
  operation.differentiation.accumulated = {"d_x", "d_weight", "d_bias"};
  return operation;
}

std::vector<OperationCase> forward_cases() {
  return {silu_case("silu_single", 1, 1.0), silu_case("silu", 8192 + 37, 1.0),
          // Beyond the range of exp on both sides.
          silu_case("silu_large_gates", 1000, 60.0), scalar_case("scalar_single", {1, 1, 1}, false),
          scalar_case("scalar", {130, 37, 21}, false),
          scalar_case("scalar_in_place", {65, 16, 33}, true)};
}

std::vector<OperationCase> backward_cases() {
  return {silu_backward_case("silu_backward_single", 1, false),
          silu_backward_case("silu_backward", 8192 + 37, false),
          silu_backward_case("silu_backward_in_place", 8192 + 37, true),
          scalar_backward_case("scalar_backward_single", {1, 1, 1}, false),
          scalar_backward_case("scalar_backward", {300, 37, 21}, false),
          scalar_backward_case("scalar_backward_in_place", {65, 16, 33}, true)};
}

// All combinations of types but that of float32 alone, whole vectors and odd ends.
std::vector<OperationCase> bf16_cases() {
  constexpr auto kF32 = FloatType::kF32, kBf16 = FloatType::kBF16;
  std::vector<OperationCase> cases;
  const auto add_silu = [&](const std::string& name, const SiluTypes& types) {
    for (const std::int64_t count : {1, 4096, 8192 + 37}) {
      const std::string sized = name + "_" + std::to_string(count);
      cases.push_back(silu_case("silu_" + sized, count, 1.0, types));
      cases.push_back(silu_backward_case("silu_backward_" + sized, count, false, types));
      cases.push_back(silu_backward_case("silu_in_place_" + sized, count, true, types));
    }
    cases.push_back(silu_case("silu_large_" + name, 1000, 60.0, types));
  };
  add_silu("bf16", {kBf16, kBf16});
  add_silu("bf16_f32_value", {kBf16, kF32});
  add_silu("f32_bf16_value", {kF32, kBf16});
  for (const ScalarGateShape& shape :
       {ScalarGateShape{1, 1, 1}, {130, 37, 21}, {65, 16, 33}, {20, 1032, 24}}) {
    const std::string sized = std::to_string(shape.tokens) + "_" + std::to_string(shape.width);
    cases.push_back(scalar_case("scalar_bf16_" + sized, shape, false, kBf16));
    cases.push_back(scalar_backward_case("scalar_backward_bf16_" + sized, shape, false, kBf16));
    cases.push_back(scalar_backward_case("scalar_in_place_bf16_" + sized, shape, true, kBf16));
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(GatesBf16, OperationTest, on_bf16_backends(bf16_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Gates, OperationTest, on_every_backend(forward_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(GatesBackward, OperationTest, on_every_backend(backward_cases()),
                         case_name);
INSTANTIATE_TEST_SUITE_P(GatesBackward, GradientTest, on_every_backend(backward_cases()),
                         case_name);

}  // namespace
}  // namespace mneme::testing
