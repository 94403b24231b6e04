#include "tests/kernels/operation_checks.h"
#include "tests/kernels/oracle/keys.h"

namespace mneme::testing {
namespace {

using oracle::KeyShape;

OperationCase half_key_case(const std::string& name, const KeyShape& shape) {
  Numbers numbers(23);
  const std::int64_t groups = shape.tokens * shape.heads;
  const std::int64_t queries = groups * 2 * shape.half_width;
  const std::int64_t keys = shape.heads * 2 * shape.half_keys * shape.half_width;
  OperationCase operation;
  operation.name = name;
  operation.tensors = {
      {"rows", numbers.below(groups * shape.knn, shape.half_keys * shape.half_keys),
       ElementType::kInt32},
      {"d_scores", numbers.normal(groups * shape.knn)},
      {"queries", numbers.normal(queries)},
      {"keys", numbers.normal(keys)},
      {"d_queries", garbage(queries)},
      {"d_keys", numbers.normal(keys)},
      {"scores", garbage(groups * shape.knn)}};
  operation.run = [shape](kernels::Backend& backend, kernels::Stream& stream,
                          const DeviceTensors& t) {
    backend.half_key_backward(stream, {.rows = t.as<kernels::RowId>("rows"),
                                       .d_scores = t["d_scores"],
                                       .queries = t["queries"],
                                       .keys = t["keys"],
                                       .d_queries = t["d_queries"],
                                       .d_keys = t["d_keys"],
                                       .tokens = shape.tokens,
                                       .heads = shape.heads,
                                       .half_keys = shape.half_keys,
                                       .half_width = shape.half_width,
                                       .knn = shape.knn});
  };
  operation.oracle = [shape](OracleTensors& t) {
    oracle::half_key_backward(shape, t["rows"], t["d_scores"], t["queries"], t["keys"],
                              t["d_queries"], t["d_keys"]);
  };
  operation.differentiation.forward = [shape](OracleTensors& t) {
    oracle::selected_scores(shape, t["rows"], t["queries"], t["keys"], t["scores"]);
  };
  operation.differentiation.outputs = {{"scores", "d_scores"}};
  operation.differentiation.inputs = {{"queries", "d_queries"}, {"keys", "d_keys"}};
  operation.differentiation.accumulated = {"d_keys"};
  return operation;
}

OperationCase softmax_case(const std::string& name, std::int64_t groups, std::int64_t knn,
                           bool in_place) {
  Numbers numbers(29);
  OperationCase operation;
  operation.name = name;
  operation.tensors = {{"scores", numbers.normal(groups * knn)},
                       {"weights", garbage(groups * knn)},
                       {"d_weights", numbers.normal(groups * knn)}};
  if (!in_place) operation.tensors.push_back({"d_scores", garbage(groups * knn)});
  oracle::softmax(groups, knn, operation.tensors[0].values, operation.tensors[1].values);
  for (double& weight : operation.tensors[1].values) weight = static_cast<float>(weight);
  const std::string out = in_place ? "d_weights" : "d_scores";
  operation.run = [=](kernels::Backend& backend, kernels::Stream& stream, const DeviceTensors& t) {
    backend.softmax_backward(stream, {.weights = t["weights"],
                                      .d_weights = t["d_weights"],
                                      .d_scores = t[out],
                                      .groups = groups,
                                      .knn = knn});
  };
  operation.oracle = [=](OracleTensors& t) {
    oracle::softmax_backward(groups, knn, t["weights"], t["d_weights"], t[out]);
  };
  operation.differentiation.forward = [=](OracleTensors& t) {
    oracle::softmax(groups, knn, t["scores"], t["weights"]);
  };
  operation.differentiation.outputs = {{"weights", "d_weights"}};
  operation.differentiation.inputs = {{"scores", out}};
  return operation;
}

std::vector<OperationCase> half_key_cases() {
  return {half_key_case("half_keys_single", {1, 1, 1, 1, 1}),
          half_key_case("half_keys_odd", {5, 3, 7, 3, 5}),
          half_key_case("half_keys_wide", {9, 2, 20, 256, 4}),
          half_key_case("half_keys_popular", {150, 1, 3, 20, 3}),
          half_key_case("half_keys_many", {30, 2, 70, 24, 32})};
}
// One key with thousands of lookups.
std::vector<OperationCase> crowded_cases() {
  return {half_key_case("half_keys_crowded", {320, 1, 1, 5, 32}),
          half_key_case("half_keys_crowded_vectors", {90, 2, 2, 8, 100})};
}
std::vector<OperationCase> softmax_cases() {
  return {softmax_case("softmax_backward", 70, 32, false),
          softmax_case("softmax_backward_odd", 9, 5, false),
          softmax_case("softmax_backward_128", 3, 128, false)};
}

INSTANTIATE_TEST_SUITE_P(HalfKeys, OperationTest, on_every_backend(half_key_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(HalfKeys, GradientTest, on_every_backend(half_key_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Crowded, OperationTest, on_every_backend(crowded_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Softmax, OperationTest, on_every_backend(softmax_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Softmax, GradientTest, on_every_backend(softmax_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(SoftmaxInPlace, OperationTest,
                         on_every_backend({softmax_case("softmax_in_place", 70, 32, true)}),
                         case_name);

}  // namespace
}  // namespace mneme::testing
