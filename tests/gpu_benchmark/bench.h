// Benchmarks of the CUDA backend at the sizes of real training, beside limits that are measured in
// the same run: a device-to-device copy for memory traffic, a large bf16 product for arithmetic,
// copies from and to pinned memory for the bus. Times are those of the device, between two events,
// and medians of several runs, each with an L2 cache that holds nothing of its own.
//
//   gpu_benchmark --benchmark_out=gpu.json
//
// MNEME_BENCH_SHRINK=N divides the sizes and runs everything once, to try the program where it
// would take too long (on the emulated GPU of the tests). Numbers of shrunk runs mean nothing.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace mneme::gpu_benchmark {

// One backend, one stream, and memory that lives as long as the object. A Bench takes the device's
// memory: one at a time.
class Bench {
 public:
  Bench();

  kernels::Backend& backend() { return *backend_; }
  kernels::Stream& stream() { return *stream_; }

  // Device memory. Numbers are normal with the given standard deviation, drawn on the device.
  void* normal(std::int64_t count, kernels::FloatType type, float standard_deviation = 1.0f);
  float* floats(std::int64_t count) { return make<float>(count); }
  template <typename T>
  T* make(std::int64_t count) {
    return buffer(static_cast<std::size_t>(count) * sizeof(T), kernels::MemoryKind::kDevice)
        .template as<T>();
  }
  template <typename T>
  T* pinned(std::int64_t count) {
    return buffer(static_cast<std::size_t>(count) * sizeof(T), kernels::MemoryKind::kPinnedHost)
        .template as<T>();
  }
  // Copies host values to the device. Waits.
  template <typename T>
  T* upload(const std::vector<T>& values) {
    const std::size_t bytes = values.size() * sizeof(T);
    T* target = make<T>(static_cast<std::int64_t>(values.size()));
    const kernels::Buffer staging = backend_->allocate(bytes, kernels::MemoryKind::kPinnedHost);
    std::copy(values.begin(), values.end(), staging.as<T>());
    backend_->copy(*stream_, target, staging.as<T>(), bytes);
    stream_->synchronize();
    return target;
  }

  // What `aside` queues on a second stream runs beside what `main` queues on stream(). Later work
  // on stream() waits for both.
  void at_once(const std::function<void()>& main,
               const std::function<void(kernels::Stream&)>& aside);

  // Median of the device seconds of what `queue` queues. `before`, or null, is called before every
  // run to set things up anew; what it queues is not timed.
  double median_seconds(const std::function<void()>& queue, const std::function<void()>& before);

 private:
  kernels::Buffer& buffer(std::size_t bytes, kernels::MemoryKind kind);
  double seconds(const std::function<void()>& queue, const std::function<void()>& before);

  std::unique_ptr<kernels::Backend> backend_;
  std::unique_ptr<kernels::Stream> stream_, second_stream_;
  std::unique_ptr<kernels::Event> begin_, end_, fork_, join_;
  std::vector<kernels::Buffer> buffers_;
  float* unrelated_;  // memory whose reading pushes all else out of the L2 cache
  double* unrelated_sum_;
};

// Limits of this machine, a second: bytes read and written by a copy on the device, floating-point
// operations of a bf16 product, and bytes that a copy brings over the bus each way, and both ways
// together while two copies run at once.
struct Limits {
  double copied_bytes = 0;
  double product_flops = 0;
  double bytes_from_host = 0, bytes_to_host = 0, bytes_both_ways = 0;
};
// Measured at the first call. REQUIRES that no Bench exists then.
const Limits& limits();

// A size divided by MNEME_BENCH_SHRINK, at least 1 and a multiple of `multiple`.
std::int64_t shrunk(std::int64_t size, std::int64_t multiple = 1);

// What one run of an operation has to move or compute at least.
struct Work {
  double bytes = 0;  // of device memory, read and written
  double flops = 0;
  double bytes_from_host = 0, bytes_to_host = 0;  // over the bus, one way or one after the other
  double bytes_both_ways = 0;                     // over the bus, both ways at once: their sum
};

// Times `queue`. Counters: "share", the least time that the limits allow for the work over the time
// taken; the rate of bytes, of those over the bus when they take longest; the rate of flops; and
// the limits of these rates.
void time_operation(benchmark::State& state, Bench& bench, const Work& work,
                    const std::function<void()>& queue, const std::function<void()>& before = {});

// Registers a benchmark whose body makes its own Bench. What it throws is its result.
void add(const std::string& name, std::function<void(benchmark::State&)> body);

void add_limits();
void add_rows();
void add_records();
void add_residency();
void add_keys();
void add_dense();
void add_experts();
void add_products();

}  // namespace mneme::gpu_benchmark
