// Sums, additions, the clip factor and AdamW.
#include <cmath>

#include "tests/kernels/operation_checks.h"

namespace mneme::testing {
namespace {

struct RowsShape {
  std::int64_t rows, width;
};

using kernels::FloatType;

OperationCase add_bias_case(const std::string& name, RowsShape shape,
                            FloatType type = FloatType::kF32) {
  Numbers numbers(61);
  OperationCase operation;
  operation.name = name;
  operation.tensors = {float_tensor("x", numbers.normal(shape.rows * shape.width), type),
                       {"bias", numbers.normal(shape.width)}};
  if (type == FloatType::kBF16) operation.tolerance = kBf16Rounding;
  operation.run = [shape, type](kernels::Backend& backend, kernels::Stream& stream,
                                const DeviceTensors& t) {
    backend.add_bias(
        stream,
        {.x = t["x"], .type = type, .bias = t["bias"], .rows = shape.rows, .width = shape.width});
  };
  operation.oracle = [shape](OracleTensors& t) {
    for (std::int64_t i = 0; i < shape.rows * shape.width; ++i) {
      at(t["x"], i) += at(t["bias"], i % shape.width);
    }
  };
  return operation;
}

OperationCase sum_rows_case(const std::string& name, RowsShape shape,
                            FloatType type = FloatType::kF32) {
  Numbers numbers(67);
  OperationCase operation;
  operation.name = name;
  operation.tensors = {float_tensor("x", numbers.normal(shape.rows * shape.width), type),
                       {"out", numbers.normal(shape.width)}};
  operation.run = [shape, type](kernels::Backend& backend, kernels::Stream& stream,
                                const DeviceTensors& t) {
    backend.sum_rows(
        stream,
        {.x = t["x"], .type = type, .out = t["out"], .rows = shape.rows, .width = shape.width});
  };
  operation.oracle = [shape](OracleTensors& t) {
    for (std::int64_t i = 0; i < shape.rows * shape.width; ++i) {
      at(t["out"], i % shape.width) += at(t["x"], i);
    }
  };
  return operation;
}

OperationCase add_case(const std::string& name, std::int64_t count) {
  Numbers numbers(71);
  OperationCase operation;
  operation.name = name;
  operation.tensors = {{"out", numbers.normal(count)}, {"x", numbers.normal(count)}};
  operation.run = [count](kernels::Backend& backend, kernels::Stream& stream,
                          const DeviceTensors& t) { backend.add(stream, t["out"], t["x"], count); };
  operation.oracle = [count](OracleTensors& t) {
    for (std::int64_t i = 0; i < count; ++i) at(t["out"], i) += at(t["x"], i);
  };
  return operation;
}

// Both sums over one range, each in float64.
OperationCase sums_case(const std::string& name, std::int64_t count) {
  Numbers numbers(73);
  OperationCase operation;
  operation.name = name;
  operation.tensors = {{"x", numbers.normal(count)},
                       {"sum", garbage(1), ElementType::kFloat64},
                       {"squares", garbage(1), ElementType::kFloat64}};
  operation.run = [count](kernels::Backend& backend, kernels::Stream& stream,
                          const DeviceTensors& t) {
    backend.sum(stream, t["x"], count, t.as<double>("sum"));
    backend.sum_of_squares(stream, t["x"], count, t.as<double>("squares"));
  };
  operation.oracle = [](OracleTensors& t) {
    double sum = 0, squares = 0;
    for (const double value : t["x"]) {
      sum += value;
      squares += value * value;
    }
    t["sum"] = {sum};
    t["squares"] = {squares};
  };
  operation.tolerance = 1e-12;
  return operation;
}

OperationCase clip_case(const std::string& name, double square_sum, float limit, double expected) {
  OperationCase operation;
  operation.name = name;
  operation.tensors = {{"square_sum", {square_sum}, ElementType::kFloat64}, {"scale", garbage(1)}};
  operation.run = [limit](kernels::Backend& backend, kernels::Stream& stream,
                          const DeviceTensors& t) {
    backend.clip_scale(
        stream, {.square_sums = t.as<double>("square_sum"), .limit = limit, .scale = t["scale"]});
  };
  operation.oracle = [expected](OracleTensors& t) { t["scale"] = {expected}; };
  operation.tolerance = 1e-6;
  return operation;
}

struct AdamWShape {
  std::int64_t count;
  std::uint64_t step;
  double grad_scale = 1.0;
};

// SPEC.md's formula of dense AdamW, one step from given moments.
void adamw_oracle(const AdamWShape& shape, OracleTensors& t) {
  const double rate = 1e-2f, beta1 = 0.9f, beta2 = 0.95f, epsilon = 1e-8f, decay = 0.1f;
  const auto step = static_cast<double>(shape.step);
  for (std::int64_t i = 0; i < shape.count; ++i) {
    const double gradient = at(t["gradients"], i) * shape.grad_scale;
    double& m = at(t["moment1"], i);
    double& v = at(t["moment2"], i);
    m = beta1 * m + (1 - beta1) * gradient;
    v = beta2 * v + (1 - beta2) * gradient * gradient;
    double& value = at(t["values"], i);
    value = value * (1 - rate * decay) - rate * (m / (1 - std::pow(beta1, step))) /
                                             (std::sqrt(v / (1 - std::pow(beta2, step))) + epsilon);
  }
}

OperationCase adamw_case(const std::string& name, const AdamWShape& shape) {
  Numbers numbers(79);
  OperationCase operation;
  operation.name = name;
  operation.tensors = {{"values", numbers.normal(shape.count)},
                       {"gradients", numbers.normal(shape.count)},
                       {"moment1", numbers.normal(shape.count, 0.1)},
                       {"moment2", numbers.normal(shape.count, 0.1)},
                       {"grad_scale", {shape.grad_scale}}};
  for (double& value : operation.tensors[3].values) value = std::abs(value);
  operation.run = [shape](kernels::Backend& backend, kernels::Stream& stream,
                          const DeviceTensors& t) {
    backend.adamw(stream, {.parameters = t["values"],
                           .gradients = t["gradients"],
                           .moment1 = t["moment1"],
                           .moment2 = t["moment2"],
                           .count = shape.count,
                           .step = shape.step,
                           .learning_rate = 1e-2f,
                           .beta1 = 0.9f,
                           .beta2 = 0.95f,
                           .epsilon = 1e-8f,
                           .weight_decay = 0.1f,
                           .grad_scale = shape.grad_scale == 1.0 ? nullptr : t["grad_scale"]});
  };
  operation.oracle = [shape](OracleTensors& t) { adamw_oracle(shape, t); };
  return operation;
}

std::vector<OperationCase> cases() {
  return {add_bias_case("add_bias_single", {1, 1}),
          add_bias_case("add_bias", {77, 333}),
          add_bias_case("add_bias_whole_vectors", {77, 328}),
          sum_rows_case("sum_rows_single", {1, 1}),
          sum_rows_case("sum_rows", {1000, 37}),
          sum_rows_case("sum_rows_wide", {3, 9001}),
          sum_rows_case("sum_rows_none", {0, 5}),
          sum_rows_case("sum_rows_many", {70001, 3}),
          add_bias_case("add_bias_many", {70001, 3}),
          add_case("add_single", 1),
          add_case("add", 20011),
          sums_case("sums_none", 0),
          sums_case("sums_single", 1),
          sums_case("sums", 100003),
          clip_case("clip_above", 16.0, 1.0f, 1.0 / (4.0 + 1e-6)),
          clip_case("clip_below", 16.0, 5.0f, 1.0),
          clip_case("clip_off", 16.0, 0.0f, 1.0),
          clip_case("clip_infinite", std::numeric_limits<double>::infinity(), 1.0f, 0.0),
          clip_case("clip_not_a_number", std::numeric_limits<double>::quiet_NaN(), 0.0f, 0.0),
          adamw_case("adamw_single", {1, 1}),
          adamw_case("adamw_first_step", {40001, 1}),
          adamw_case("adamw_late_step", {333, 100000}),
          adamw_case("adamw_clipped", {333, 7, 0.25})};
}

std::vector<OperationCase> bf16_cases() {
  constexpr auto kBf16 = FloatType::kBF16;
  return {add_bias_case("add_bias_bf16_single", {1, 1}, kBf16),
          add_bias_case("add_bias_bf16", {77, 333}, kBf16),
          add_bias_case("add_bias_bf16_wide", {40, 512}, kBf16),
          sum_rows_case("sum_rows_bf16_single", {1, 1}, kBf16),
          sum_rows_case("sum_rows_bf16", {1000, 37}, kBf16),
          sum_rows_case("sum_rows_bf16_wide", {3, 9001}, kBf16),
          sum_rows_case("sum_rows_bf16_tall", {20000, 8}, kBf16),
          sum_rows_case("sum_rows_bf16_even", {300, 520}, kBf16)};
}

INSTANTIATE_TEST_SUITE_P(ReductionsBf16, OperationTest, on_bf16_backends(bf16_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Reductions, OperationTest, on_every_backend(cases()), case_name);

}  // namespace
}  // namespace mneme::testing
