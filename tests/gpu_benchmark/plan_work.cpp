// The least bytes of the step plan's operations, as docs/cuda.md counts them.
#include "tests/gpu_benchmark/plan_bench.h"

namespace mneme::gpu_benchmark {
namespace {

// A word of a scattered array costs the 32 bytes that device memory hands out at once.
constexpr double kWord = 32;

}  // namespace

Work PlanBench::group_work() const {
  return {.bytes = 2 * static_cast<double>(distinct_) * (4 * 16 + 36)};
}

Work PlanBench::look_up_work() const {
  const auto distinct = static_cast<double>(distinct_), missing = static_cast<double>(missing_);
  return {
      .bytes = distinct * (kWord + 8) + missing * 4 + static_cast<double>(counts_[kInHost]) * kWord,
      .bytes_to_host = static_cast<double>(counts_[kOnDiskOnly]) * 4};
}

Work PlanBench::lease_work() const {
  return {.bytes =
              static_cast<double>(distinct_) * 4 + static_cast<double>(counts_[kOnDevice]) * kWord};
}

Work PlanBench::select_work() const {
  constexpr double kPasses = 4 + 2;
  return {.bytes = kPasses * 13 * device_.slots + static_cast<double>(missing_) * (6 * kWord + 17)};
}

Work PlanBench::release_work() const {
  return {.bytes = static_cast<double>(missing_) * (kWord + 8)};
}

Work PlanBench::bind_work() const {
  return {.bytes = static_cast<double>(missing_) * (12 * kWord + 28) +
                   static_cast<double>(counts_[kInHost]) * (4 * kWord + 4)};
}

Work PlanBench::demote_work() const {
  return {.bytes = static_cast<double>(missing_) * (12 * kWord + 29)};
}

Work PlanBench::use_work() const {
  return {.bytes = static_cast<double>(distinct_) * (4 + 7 * kWord)};
}

Work PlanBench::all_work() const {
  Work sum;
  for (const Work& work : {look_up_work(), lease_work(), select_work(), release_work(), bind_work(),
                           demote_work(), use_work()}) {
    sum.bytes += work.bytes;
    sum.bytes_to_host += work.bytes_to_host;
  }
  return sum;
}

}  // namespace mneme::gpu_benchmark
