// Attention in bf16: tiles of 32 or 64 keys and 64 or 128 queries on tensor cores for heads of the
// usual widths, float32 arithmetic for others.
#include "tests/kernels/attention_cases.h"
#include "tests/kernels/operation_checks.h"

namespace mneme::testing {
namespace {

constexpr auto kBF16 = kernels::FloatType::kBF16;

struct Shape {
  std::string name;
  oracle::AttentionShape shape;
};

std::vector<Shape> shapes() {
  return {{"bf16_single", {1, 1, 1, 1, 64, 1.0f}},
          {"bf16_less_than_a_tile", {2, 37, 3, 3, 64, 0.125f}},
          {"bf16_whole_tiles", {1, 128, 2, 2, 64, 0.125f}},
          {"bf16_one_row_more", {1, 129, 2, 1, 64, 0.125f}},
          {"bf16_grouped_heads", {2, 150, 4, 2, 64, 0.125f}},
          {"bf16_narrow", {2, 165, 2, 1, 32, 0.177f}},
          {"bf16_width_96", {1, 165, 2, 1, 96, 0.102f}},
          {"bf16_width_128", {2, 165, 3, 1, 128, 0.0884f}},
          {"bf16_odd_width", {2, 45, 4, 2, 5, 0.447f}},
          // Dynamic and static shared memory of a block are more than 48 KiB only together: of 80
          // columns in backward, of 120 in forward.
          {"bf16_width_80", {1, 70, 2, 1, 80, 0.112f}},
          {"bf16_width_120", {1, 40, 2, 1, 120, 0.0913f}},
          {"bf16_width_256", {1, 40, 2, 1, 256, 0.0625f}},
          {"bf16_negative_scale", {1, 70, 2, 1, 64, -0.125f}},
          {"bf16_no_sequences", {0, 70, 2, 1, 64, 0.125f}},
          {"bf16_no_positions", {2, 0, 2, 1, 64, 0.125f}}};
}

std::vector<OperationCase> forward_cases() {
  std::vector<OperationCase> cases;
  for (const auto& [name, shape] : shapes()) cases.push_back(attention_case(name, shape, kBF16));
  // Scores of some hundred: exponentials overflow unless the largest is taken out.
  cases.push_back(attention_case("bf16_large_scores", {1, 140, 2, 2, 64, 0.125f}, kBF16, 6.0));
  return cases;
}

std::vector<OperationCase> backward_cases() {
  std::vector<OperationCase> cases;
  for (const auto& [name, shape] : shapes()) {
    // The gradients of a softmax over one key are 0: there is nothing to compare with.
    if (shape.sequence == 1) continue;
    cases.push_back(attention_backward_case(name + "_backward", shape, kBF16));
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(AttentionBf16, OperationTest, on_bf16_backends(forward_cases()),
                         case_name);
INSTANTIATE_TEST_SUITE_P(AttentionBf16Backward, OperationTest, on_bf16_backends(backward_cases()),
                         case_name);

}  // namespace
}  // namespace mneme::testing
