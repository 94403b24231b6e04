// Documents that share a sequence do not read one another: attention with first keys.
#include <algorithm>

#include "tests/kernels/attention_cases.h"
#include "tests/kernels/operation_checks.h"
#include "tests/kernels/operation_run.h"

namespace mneme::testing {
namespace {

constexpr auto kBF16 = kernels::FloatType::kBF16;

struct Shape {
  std::string name;
  oracle::AttentionShape shape;
};

std::vector<OperationCase> forward_cases(const std::vector<Shape>& shapes,
                                         kernels::FloatType type) {
  std::vector<OperationCase> cases;
  for (const auto& [name, shape] : shapes) cases.push_back(attention_case(name, shape, type));
  return cases;
}

std::vector<OperationCase> backward_cases(const std::vector<Shape>& shapes,
                                          kernels::FloatType type) {
  std::vector<OperationCase> cases;
  for (const auto& [name, shape] : shapes) {
    cases.push_back(attention_backward_case(name + "_backward", shape, type));
  }
  return cases;
}

// Documents begin within a block of query rows and at its ends, in the second sequence elsewhere
// than in the first; some have a single token; of long ones, blocks skip the keys before.
std::vector<Shape> shapes() {
  return {{"one_document", {1, 40, 1, 1, 6, 0.408f, {0}}},
          {"documents", {2, 70, 4, 2, 8, 0.353f, {5, 40, 64, 65, 70, 100, 139}}},
          {"long_documents", {1, 330, 2, 1, 6, 0.408f, {20, 131, 132, 300}}},
          {"documents_of_wide_heads", {1, 70, 1, 1, 70, 0.12f, {33, 50}}}};
}

std::vector<Shape> bf16_shapes() {
  return {{"bf16_documents", {2, 165, 2, 1, 64, 0.125f, {5, 64, 100, 101, 128, 200, 329}}},
          {"bf16_long_documents", {1, 330, 2, 1, 64, 0.125f, {20, 131, 132, 300}}},
          {"bf16_documents_narrow", {1, 165, 2, 1, 32, 0.177f, {37, 96, 140}}},
          {"bf16_documents_width_96", {1, 165, 2, 1, 96, 0.102f, {37, 96, 140}}},
          {"bf16_documents_width_128", {1, 165, 2, 1, 128, 0.0884f, {37, 96, 140}}},
          {"bf16_documents_odd_width", {1, 45, 2, 1, 5, 0.447f, {7, 32, 33}}}};
}

INSTANTIATE_TEST_SUITE_P(AttentionDocuments, OperationTest,
                         on_every_backend(forward_cases(shapes(), kernels::FloatType::kF32)),
                         case_name);
INSTANTIATE_TEST_SUITE_P(AttentionDocumentsBackward, OperationTest,
                         on_every_backend(backward_cases(shapes(), kernels::FloatType::kF32)),
                         case_name);
INSTANTIATE_TEST_SUITE_P(AttentionDocumentsBackward, GradientTest,
                         on_every_backend(backward_cases({shapes()[1]}, kernels::FloatType::kF32)),
                         case_name);
INSTANTIATE_TEST_SUITE_P(AttentionDocumentsBf16, OperationTest,
                         on_bf16_backends(forward_cases(bf16_shapes(), kBF16)), case_name);
INSTANTIATE_TEST_SUITE_P(AttentionDocumentsBf16Backward, OperationTest,
                         on_bf16_backends(backward_cases(bf16_shapes(), kBF16)), case_name);

// The same case with other numbers in the positions before `begin`, of one sequence.
OperationCase with_other_document(OperationCase operation, std::int64_t begin,
                                  std::int64_t sequence) {
  for (Tensor& tensor : operation.tensors) {
    if (tensor.name != "q" && tensor.name != "k" && tensor.name != "v" && tensor.name != "d_out") {
      continue;
    }
    const std::int64_t width = std::ssize(tensor.values) / sequence;
    std::for_each_n(tensor.values.begin(), begin * width, [](double& value) { value *= -1.5; });
    tensor = float_tensor(tensor.name, tensor.values,
                          tensor.type == ElementType::kBFloat16 ? kBF16 : kernels::FloatType::kF32);
  }
  return operation;
}

void expect_later_bits_unchanged(kernels::Backend& backend, const OperationCase& operation,
                                 const std::vector<std::string>& outputs, std::int64_t begin,
                                 std::int64_t sequence) {
  const OperationResults one = run_operation(backend, operation);
  const OperationResults other =
      run_operation(backend, with_other_document(operation, begin, sequence));
  for (const std::string& name : outputs) {
    SCOPED_TRACE(name);
    const std::vector<std::byte>&expected = one.at(name), &actual = other.at(name);
    const auto later = std::ssize(expected) / sequence * begin;
    EXPECT_TRUE(std::equal(expected.begin() + later, expected.end(), actual.begin() + later));
    EXPECT_FALSE(std::equal(expected.begin(), expected.begin() + later, actual.begin()));
  }
}

class AttentionOfDocuments : public ::testing::TestWithParam<TestBackend> {
 protected:
  void expect_apart(std::int64_t sequence, std::int64_t begin, std::int64_t width,
                    kernels::FloatType type) {
    const oracle::AttentionShape shape{1, sequence, 2, 1, width, 0.2f, {begin}};
    kernels::Backend& backend = shared_backend(GetParam());
    expect_later_bits_unchanged(backend, attention_case("forward", shape, type), {"out"}, begin,
                                sequence);
    expect_later_bits_unchanged(backend, attention_backward_case("backward", shape, type),
                                {"d_q", "d_k", "d_v"}, begin, sequence);
  }
};
class Bf16AttentionOfDocuments : public AttentionOfDocuments {};

TEST_P(AttentionOfDocuments, DoesNotDependOnABitOfEarlierOnes) {
  expect_apart(90, 37, 12, kernels::FloatType::kF32);
}
TEST_P(Bf16AttentionOfDocuments, DoesNotDependOnABitOfEarlierOnes) {
  expect_apart(150, 37, 64, kBF16);
}

INSTANTIATE_TEST_SUITE_P(EveryBackend, AttentionOfDocuments,
                         ::testing::ValuesIn(backends_under_test()), backend_name);
INSTANTIATE_TEST_SUITE_P(Bf16, Bf16AttentionOfDocuments,
                         ::testing::ValuesIn(bf16_backends_under_test()), backend_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Bf16AttentionOfDocuments);

}  // namespace
}  // namespace mneme::testing
