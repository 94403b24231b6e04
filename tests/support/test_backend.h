// The backends that tests run on. A new backend joins every suite by being listed here.
//
// MNEME_REQUIRE names backends (separated by commas) that must be under test, for machines that
// have them: MNEME_REQUIRE=cuda makes tests fail, not skip, when CUDA is missing.
#pragma once

#include <fmt/format.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/error.h"
#include "kernels/backend.h"

namespace mneme::testing {

struct TestBackend {
  std::string name;
  // Throws Error when the backend is required but missing.
  std::function<std::unique_ptr<kernels::Backend>()> make;
  // The same backend with that many threads; null where threads mean nothing.
  std::function<std::unique_ptr<kernels::Backend>(int threads)> make_with_threads;
};

inline bool backend_required(std::string_view name) {
  const char* required = std::getenv("MNEME_REQUIRE");
  if (required == nullptr) return false;
  const std::string list = fmt::format(",{},", required);
  return list.find(fmt::format(",{},", name)) != std::string::npos;
}

inline std::vector<TestBackend> backends_under_test() {
  const auto cpu = [](int threads) {
    return kernels::make_cpu_backend(kernels::CpuOptions{.threads = threads});
  };
  std::vector<TestBackend> backends;
  backends.push_back({"cpu", [cpu] { return cpu(2); }, cpu});
  if (backend_required("cuda")) {
    backends.push_back({"cuda",
                        []() -> std::unique_ptr<kernels::Backend> {
                          io::fail("MNEME_REQUIRE asks for cuda, but this build has no CUDA");
                        },
                        nullptr});
  }
  return backends;
}

}  // namespace mneme::testing
