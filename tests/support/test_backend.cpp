#include "tests/support/test_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <sstream>

#include "io/error.h"

namespace mneme::testing {
namespace {

using kernels::Backend;
using kernels::FloatType;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

TestBackend cpu_backend() {
  return {"cpu",
          [](const TestBackendOptions& options) {
            return kernels::make_cpu_backend({.threads = options.threads});
          },
          true};
}

TestBackend cuda_backend(const std::string& name, FloatType compute_type) {
  return {name, [compute_type](const TestBackendOptions& options) {
            return kernels::make_cuda_backend(
                {.arena_bytes = options.device_bytes, .compute_type = compute_type});
          }};
}

TestBackend unknown_backend(const std::string& name) {
  return {name, [name](const TestBackendOptions&) -> std::unique_ptr<Backend> {
            io::fail("MNEME_TEST_BACKENDS: there is no backend \"{}\"; name cpu or cuda", name);
          }};
}

std::vector<std::string> names_under_test() {
  std::vector<std::string> names;
  std::istringstream wanted(environment("MNEME_TEST_BACKENDS"));
  for (std::string name; std::getline(wanted, name, ',');) names.push_back(name);
  if (names.empty()) {
    names.emplace_back("cpu");
    if (kernels::cuda_unavailable().empty()) names.emplace_back("cuda");
  }
  if (required("cuda") && std::find(names.begin(), names.end(), "cuda") == names.end()) {
    names.emplace_back("cuda");
  }
  return names;
}

}  // namespace

std::vector<TestBackend> backends_under_test() {
  std::vector<TestBackend> backends;
  for (const std::string& name : names_under_test()) {
    backends.push_back(name == "cpu"    ? cpu_backend()
                       : name == "cuda" ? cuda_backend("cuda", FloatType::kF32)
                                        : unknown_backend(name));
  }
  return backends;
}

std::vector<TestBackend> bf16_backends_under_test() {
  std::vector<TestBackend> backends;
  for (const std::string& name : names_under_test()) {
    if (name == "cuda") backends.push_back(cuda_backend("cuda_bf16", FloatType::kBF16));
  }
  return backends;
}

Backend& shared_backend(const TestBackend& backend) {
  static std::map<std::string, std::unique_ptr<Backend>> made;
  std::unique_ptr<Backend>& entry = made[backend.name];
  if (entry == nullptr) entry = backend.make();
  return *entry;
}

Backend& test_backend() {
  static const TestBackend first = backends_under_test().front();
  return shared_backend(first);
}

std::unique_ptr<Backend> make_test_backend(const TestBackendOptions& options) {
  return backends_under_test().front().make(options);
}

bool required(std::string_view name) {
  const std::string list = fmt::format(",{},", environment("MNEME_REQUIRE"));
  return list.find(fmt::format(",{},", name)) != std::string::npos;
}

}  // namespace mneme::testing
