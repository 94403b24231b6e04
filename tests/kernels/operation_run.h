// Runs one case on a backend, and compares what it left with what the oracle makes of it.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "tests/kernels/operation_case.h"

namespace mneme::testing {

// A tensor's bytes after the operation, by name.
using OperationResults = std::map<std::string, std::vector<std::byte>>;

// Runs the case with guard bytes on both sides of every tensor and expects them untouched.
OperationResults run_operation(kernels::Backend& backend, const OperationCase& operation);

Values decode(const std::vector<std::byte>& bytes, ElementType type);

// Runs the case and expects every tensor to be within the tolerance of its oracle.
void expect_oracle(kernels::Backend& backend, const OperationCase& operation);

}  // namespace mneme::testing
