// The backends that tests run on. A new backend joins every suite by being listed here.
//
// MNEME_TEST_BACKENDS names the backends to test, separated by commas: cpu, cuda. Without it, tests
// run on those that this machine and build have. MNEME_REQUIRE=cuda adds cuda and allows no skip.
// A backend that was asked for and cannot be had makes tests fail.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.h"

namespace mneme::testing {

struct TestBackendOptions {
  int threads = 2;  // where they mean something: on the CPU
  // Where device memory is taken at the start. Small, for several backends in one process.
  std::size_t device_bytes = std::size_t{256} << 20;
};

struct TestBackend {
  std::string name;  // letters, digits and underscores
  std::function<std::unique_ptr<kernels::Backend>(const TestBackendOptions&)> maker;
  bool has_threads = false;

  // Throws Error when the backend was asked for and cannot be had.
  std::unique_ptr<kernels::Backend> make(const TestBackendOptions& options = {}) const {
    return maker(options);
  }
};

// "cpu" and "cuda", both computing in float32. Never empty.
std::vector<TestBackend> backends_under_test();
// Those of them that can compute in bf16, doing so: "cuda_bf16". Empty where there is none.
std::vector<TestBackend> bf16_backends_under_test();

// One backend of each name for all tests of a program that need none of their own.
kernels::Backend& shared_backend(const TestBackend& backend);
// The first backend under test, shared: for tests of what stands on a backend.
kernels::Backend& test_backend();
// The same, made anew.
std::unique_ptr<kernels::Backend> make_test_backend(const TestBackendOptions& options = {});

// Whether MNEME_REQUIRE names it.
bool required(std::string_view name);

inline std::ostream& operator<<(std::ostream& out, const TestBackend& backend) {
  return out << backend.name;
}
inline std::string backend_name(const ::testing::TestParamInfo<TestBackend>& info) {
  return info.param.name;
}

}  // namespace mneme::testing
