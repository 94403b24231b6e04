// A value table in device memory and one step's look-ups in it, as the benchmarks of row operations
// need them.
#pragma once

#include <cstdint>

#include "tests/gpu_benchmark/bench.h"

namespace mneme::gpu_benchmark {

// Arrays for `slots` rows, zero but for the values, which are normal.
kernels::RowArena make_arena(Bench& bench, const kernels::RecordLayout& layout, std::int64_t slots);

// The bytes of a row's value and moments, its last step and their lag.
double row_bytes(const kernels::RecordLayout& layout);

// 0, 1, 2, ... on the device.
std::uint32_t* upload_count(Bench& bench, std::int64_t count);
// The same numbers in random order.
std::uint32_t* upload_shuffled(Bench& bench, std::int64_t count);

// The values take 4 GiB; each of `tokens` tokens looks up 128 rows anywhere.
class RowBench {
 public:
  struct Options {
    std::int64_t width = 1024;
    kernels::FloatType value_type = kernels::FloatType::kBF16;
    bool moments = false;  // float32
    std::int64_t tokens = 4096;
  };
  static constexpr std::uint64_t kStep = 100;  // that update() takes

  explicit RowBench(const Options& options);

  void group() { bench_.backend().group_lookups(bench_.stream(), grouped_); }
  void gather();
  void dot();
  // Norms of the row gradients, clip factor, and the optimiser's step.
  void norm_and_update();

  Bench& bench() { return bench_; }
  const kernels::RowArena& arena() const { return arena_; }
  const kernels::RecordLayout& layout() const { return arena_.layout; }
  // Row r lies in slot r.
  const std::uint32_t* distinct_rows() const { return grouped_.unique_rows; }
  std::int64_t distinct() const { return static_cast<std::int64_t>(*grouped_.count); }
  double lookups() const { return static_cast<double>(grouped_.lookups); }
  // Of one float32 vector for each token.
  double token_bytes() const { return static_cast<double>(tokens_ * options_.width * 4); }

 private:
  void make_lookups();

  Bench bench_;
  Options options_;
  std::int64_t rows_, tokens_;
  kernels::RowArena arena_;
  kernels::GroupedLookups grouped_;
  float *weights_, *d_y_, *y_, *d_weights_, *norms_, *scale_;
  double* square_sums_;
};

}  // namespace mneme::gpu_benchmark
