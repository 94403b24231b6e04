// The checks that every operation passes on every backend. A test file gives its case table:
//   INSTANTIATE_TEST_SUITE_P(Norm, OperationTest, on_every_backend(norm_cases()), case_name);
// and for the cases that say how to differentiate also
//   INSTANTIATE_TEST_SUITE_P(Norm, GradientTest, on_every_backend(backward_cases()), case_name);
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "tests/kernels/operation_case.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {

struct OperationParameter {
  TestBackend backend;
  OperationCase operation;
};
inline std::ostream& operator<<(std::ostream& out, const OperationParameter& parameter) {
  return out << parameter.operation.name << " on " << parameter.backend.name;
}

class OperationTest : public ::testing::TestWithParam<OperationParameter> {};

class GradientTest : public ::testing::TestWithParam<OperationParameter> {};

inline auto on_backends(const std::vector<TestBackend>& backends,
                        const std::vector<OperationCase>& cases) {
  std::vector<OperationParameter> parameters;
  for (const TestBackend& backend : backends) {
    for (const OperationCase& operation : cases) parameters.push_back({backend, operation});
  }
  return ::testing::ValuesIn(parameters);
}
inline auto on_every_backend(const std::vector<OperationCase>& cases) {
  return on_backends(backends_under_test(), cases);
}
// For cases with bf16 operands, which a backend takes only when it computes in bf16.
inline auto on_bf16_backends(const std::vector<OperationCase>& cases) {
  return on_backends(bf16_backends_under_test(), cases);
}

inline std::string case_name(const ::testing::TestParamInfo<OperationParameter>& info) {
  return fmt::format("{}_{}", info.param.operation.name, info.param.backend.name);
}

}  // namespace mneme::testing
