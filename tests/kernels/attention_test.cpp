#include "tests/kernels/attention_cases.h"
#include "tests/kernels/operation_checks.h"

namespace mneme::testing {
namespace {

// The second sequence length crosses a block of query rows; 130 crosses two.
std::vector<OperationCase> forward_cases() {
  return {attention_case("single", {1, 1, 1, 1, 1, 1.0f}),
          attention_case("no_sequences", {0, 5, 2, 1, 8, 0.353f}),
          attention_case("no_positions", {2, 0, 2, 1, 8, 0.353f}),
          attention_case("one_head", {1, 65, 1, 1, 8, 0.353f}),
          attention_case("odd_width", {2, 30, 3, 3, 5, 0.447f}),
          attention_case("grouped_heads", {2, 130, 4, 2, 16, 0.25f}),
          attention_case("one_kv_head", {1, 64, 6, 1, 12, 0.289f}),
          // Scores of some hundred: exponentials overflow unless the largest is taken out.
          attention_case("large_scores", {1, 70, 2, 2, 16, 0.25f}, kernels::FloatType::kF32, 8.0)};
}

// Long enough for the large blocks of query rows.
std::vector<OperationCase> long_cases() {
  return {attention_case("long_sequence", {1, 515, 2, 1, 6, 0.408f}),
          attention_backward_case("long_sequence_backward", {1, 515, 2, 1, 6, 0.408f})};
}

std::vector<OperationCase> backward_cases() {
  return {attention_backward_case("single_backward", {1, 1, 1, 1, 2, 1.0f}),
          attention_backward_case("odd_width_backward", {2, 30, 3, 3, 5, 0.447f}),
          attention_backward_case("grouped_heads_backward", {2, 70, 4, 2, 8, 0.353f}),
          attention_backward_case("one_kv_head_backward", {1, 33, 3, 1, 12, 0.289f})};
}

kernels::RotaryArgs rotary_shape(std::int64_t batch, std::int64_t sequence, std::int64_t heads,
                                 std::int64_t head_width, std::int64_t padding = 0) {
  kernels::RotaryArgs args;
  args.batch = batch;
  args.sequence = sequence;
  args.heads = heads;
  args.head_width = head_width;
  args.stride = heads * head_width + padding;
  return args;
}

OperationCase rotary_case(const std::string& name, const kernels::RotaryArgs& args) {
  Numbers numbers(23);
  OperationCase operation;
  operation.name = name;
  const Values x = numbers.normal(args.batch * args.sequence * args.stride);
  operation.tensors = {float_tensor("x", x, args.type)};
  if (args.type == kernels::FloatType::kBF16) operation.tolerance = kBf16Rounding;
  operation.run = [args](kernels::Backend& backend, kernels::Stream& stream,
                         const DeviceTensors& tensors) {
    kernels::RotaryArgs own = args;
    own.x = tensors["x"];
    backend.rotary(stream, own);
  };
  operation.oracle = [args](OracleTensors& t) { oracle::rotary(args, t["x"]); };
  // The gradient of an in-place operation: x holds d_out and becomes d_x, and the forward of which
  // it is the backward turns the other way.
  operation.tensors.push_back({"point", numbers.normal(static_cast<std::int64_t>(x.size()))});
  operation.differentiation.forward = [args](OracleTensors& t) {
    kernels::RotaryArgs forward = args;
    forward.inverse = !args.inverse;
    oracle::rotary(forward, t["point"]);
  };
  operation.differentiation.outputs = {{"point", "x"}};
  operation.differentiation.inputs = {{"point", "x"}};
  return operation;
}

std::vector<OperationCase> rotary_cases() {
  kernels::RotaryArgs inverse = rotary_shape(2, 40, 3, 6);
  inverse.inverse = true;
  kernels::RotaryArgs late = rotary_shape(1, 70, 1, 64);
  late.first_position = 5000;
  late.theta = 500000.0f;
  return {rotary_case("rotary_single", rotary_shape(1, 1, 1, 2)),
          rotary_case("rotary", rotary_shape(2, 97, 3, 10)), rotary_case("rotary_inverse", inverse),
          rotary_case("rotary_late_positions", late)};
}

std::vector<OperationCase> strided_rotary_cases() {
  return {rotary_case("rotary_strided", rotary_shape(2, 33, 2, 8, 5))};
}

std::vector<OperationCase> bf16_rotary_cases() {
  std::vector<OperationCase> cases;
  const auto add = [&](const std::string& name, kernels::RotaryArgs args) {
    args.type = kernels::FloatType::kBF16;
    cases.push_back(rotary_case(name, args));
    args.inverse = true;
    cases.push_back(rotary_case(name + "_inverse", args));
  };
  add("rotary_bf16", rotary_shape(2, 97, 3, 64));
  add("rotary_bf16_odd", rotary_shape(2, 33, 3, 10));
  add("rotary_bf16_strided", rotary_shape(1, 40, 2, 32, 64));
  add("rotary_bf16_odd_stride", rotary_shape(1, 40, 2, 8, 5));
  kernels::RotaryArgs late = rotary_shape(3, 5, 72, 128, 8);
  late.first_position = 40000;
  add("rotary_bf16_late_positions", late);
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Attention, OperationTest, on_every_backend(forward_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(AttentionLong, OperationTest, on_every_backend(long_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(AttentionBackward, OperationTest, on_every_backend(backward_cases()),
                         case_name);
INSTANTIATE_TEST_SUITE_P(AttentionBackward, GradientTest, on_every_backend(backward_cases()),
                         case_name);
INSTANTIATE_TEST_SUITE_P(Rotary, OperationTest, on_every_backend(rotary_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Rotary, GradientTest, on_every_backend(rotary_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(RotaryStrided, OperationTest, on_every_backend(strided_rotary_cases()),
                         case_name);

INSTANTIATE_TEST_SUITE_P(RotaryBf16, OperationTest, on_bf16_backends(bf16_rotary_cases()),
                         case_name);

}  // namespace
}  // namespace mneme::testing
