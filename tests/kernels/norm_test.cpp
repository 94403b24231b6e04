#include "tests/kernels/oracle/norm.h"
#include "tests/kernels/operation_checks.h"

namespace mneme::testing {
namespace {

using oracle::NormShape;
constexpr auto kRms = kernels::NormKind::kRms;
constexpr auto kL2 = kernels::NormKind::kL2;

OperationCase forward_case(const std::string& name, const NormShape& shape,
                           kernels::FloatType type = kernels::FloatType::kF32,
                           bool copied = false) {
  Numbers numbers(11);
  const std::int64_t count = shape.rows * shape.width;
  OperationCase operation;
  operation.name = name;
  operation.tensors = {{"x", numbers.normal(count)},
                       {"gain", numbers.normal(shape.gain_rows * shape.width)},
                       float_tensor("out", garbage(count), type),
                       {"inverse", garbage(shape.rows)},
                       {"copy", garbage(copied ? count : 0)}};
  if (type == kernels::FloatType::kBF16) operation.tolerance = kBf16Rounding;
  operation.run = [shape, type, copied](kernels::Backend& backend, kernels::Stream& stream,
                                        const DeviceTensors& tensors) {
    backend.norm(stream, {.kind = shape.kind,
                          .x = tensors["x"],
                          .gain = tensors["gain"],
                          .out = tensors["out"],
                          .out_type = type,
                          .inverse = tensors["inverse"],
                          .copy = copied ? tensors["copy"] : nullptr,
                          .rows = shape.rows,
                          .width = shape.width,
                          .gain_rows = shape.gain_rows});
  };
  operation.oracle = [shape, copied](OracleTensors& t) {
    oracle::norm(shape, t["x"], t["gain"], t["out"], t["inverse"]);
    if (copied) t["copy"] = t["x"];
  };
  return operation;
}

OperationCase backward_case(const std::string& name, const NormShape& shape, bool accumulate) {
  Numbers numbers(13);
  const std::int64_t count = shape.rows * shape.width;
  const std::int64_t gains = shape.gain_rows * shape.width;
  OperationCase operation;
  operation.name = name;
  operation.tensors = {{"x", numbers.normal(count)},
                       {"gain", numbers.normal(gains)},
                       {"inverse", garbage(shape.rows)},
                       {"d_out", numbers.normal(count)},
                       {"d_x", accumulate ? numbers.normal(count) : garbage(count)},
                       {"d_gain", numbers.normal(gains)},
                       {"out", garbage(count)}};
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    at(operation.tensors[2].values, row) =
        static_cast<float>(oracle::norm_factor(shape, operation.tensors[0].values, row));
  }
  operation.run = [shape, accumulate](kernels::Backend& backend, kernels::Stream& stream,
                                      const DeviceTensors& tensors) {
    backend.norm_backward(stream, {.kind = shape.kind,
                                   .x = tensors["x"],
                                   .gain = tensors["gain"],
                                   .inverse = tensors["inverse"],
                                   .d_out = tensors["d_out"],
                                   .d_x = tensors["d_x"],
                                   .d_gain = tensors["d_gain"],
                                   .rows = shape.rows,
                                   .width = shape.width,
                                   .gain_rows = shape.gain_rows,
                                   .accumulate = accumulate});
  };
  operation.oracle = [shape, accumulate](OracleTensors& t) {
    oracle::norm_backward(shape, accumulate, t["x"], t["gain"], t["d_out"], t["d_x"], t["d_gain"]);
  };
  operation.differentiation.forward = [shape](OracleTensors& t) {
    oracle::norm(shape, t["x"], t["gain"], t["out"], t["inverse"]);
  };
  operation.differentiation.outputs = {{"out", "d_out"}};
  operation.differentiation.inputs = {{"x", "d_x"}, {"gain", "d_gain"}};
  operation.differentiation.accumulated = {"d_gain"};
  if (accumulate) operation.differentiation.accumulated.push_back("d_x");
  return operation;
}

std::vector<OperationCase> forward_cases() {
  return {forward_case("rms_single", {kRms, 1, 1, 1}),
          forward_case("rms", {kRms, 33, 256, 1}),
          forward_case("rms_odd_width", {kRms, 70, 37, 1}),
          forward_case("rms_gain_by_row", {kRms, 35, 24, 6}),
          forward_case("l2_odd_width", {kL2, 70, 37, 1}),
          forward_case("l2_gain_by_row", {kL2, 35, 24, 6}),
          forward_case("rms_copied", {kRms, 33, 256, 1}, kernels::FloatType::kF32, true),
          forward_case("rms_copied_odd_width", {kRms, 70, 37, 1}, kernels::FloatType::kF32, true),
          forward_case("rms_many_rows", {kRms, 70001, 3, 1})};
}

std::vector<OperationCase> bf16_cases() {
  constexpr auto kBf16 = kernels::FloatType::kBF16;
  return {forward_case("rms_bf16_single", {kRms, 1, 1, 1}, kBf16),
          forward_case("rms_bf16", {kRms, 33, 256, 1}, kBf16),
          forward_case("rms_bf16_odd_width", {kRms, 70, 37, 1}, kBf16),
          forward_case("rms_bf16_wide", {kRms, 5, 4096, 1}, kBf16),
          forward_case("rms_bf16_very_wide", {kRms, 2, 8204, 1}, kBf16),
          forward_case("rms_bf16_copied", {kRms, 33, 768, 1}, kBf16, true),
          forward_case("rms_bf16_copied_very_wide", {kRms, 2, 8204, 1}, kBf16, true),
          forward_case("l2_bf16_gain_by_row", {kL2, 35, 24, 6}, kBf16),
          forward_case("l2_bf16_odd_gain_by_row", {kL2, 35, 21, 5}, kBf16)};
}

std::vector<OperationCase> backward_cases() {
  return {backward_case("rms_backward_one_row", {kRms, 1, 3, 1}, false),
          backward_case("rms_backward", {kRms, 300, 64, 1}, false),
          backward_case("rms_backward_accumulated", {kRms, 70, 37, 1}, true),
          backward_case("rms_backward_gain_by_row", {kRms, 301, 24, 6}, false),
          backward_case("rms_backward_many_rows", {kRms, 70001, 3, 1}, false),
          backward_case("l2_backward", {kL2, 70, 37, 1}, false),
          backward_case("l2_backward_gain_by_row", {kL2, 301, 24, 6}, true)};
}

INSTANTIATE_TEST_SUITE_P(Norm, OperationTest, on_every_backend(forward_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(NormBf16, OperationTest, on_bf16_backends(bf16_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(NormBackward, OperationTest, on_every_backend(backward_cases()),
                         case_name);
INSTANTIATE_TEST_SUITE_P(NormBackward, GradientTest, on_every_backend(backward_cases()), case_name);

}  // namespace
}  // namespace mneme::testing
