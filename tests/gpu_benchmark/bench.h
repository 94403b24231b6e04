// Benchmarks of the CUDA backend at the sizes of real training, beside limits that are measured in
// the same run: a device-to-device copy for memory traffic, a large bf16 product for arithmetic.
// Times are those of the device, between two events.
//
//   gpu_benchmark --benchmark_out=gpu.json
//
// MNEME_BENCH_SHRINK=N divides the sizes, to try the program where it would take too long (on the
// emulated GPU of the tests). Numbers of shrunk runs mean nothing.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace mneme::gpu_benchmark {

// One backend, one stream, and memory that lives as long as the object.
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
    T* staging = pinned<T>(static_cast<std::int64_t>(values.size()));
    std::copy(values.begin(), values.end(), staging);
    T* target = make<T>(static_cast<std::int64_t>(values.size()));
    backend_->copy(*stream_, target, staging, values.size() * sizeof(T));
    stream_->synchronize();
    return target;
  }

  // Device seconds of what `queue` queues.
  double seconds(const std::function<void()>& queue);

 private:
  kernels::Buffer& buffer(std::size_t bytes, kernels::MemoryKind kind);

  std::unique_ptr<kernels::Backend> backend_;
  std::unique_ptr<kernels::Stream> stream_;
  std::unique_ptr<kernels::Event> begin_, end_;
  std::vector<kernels::Buffer> buffers_;
};

// Of this machine, measured once: bytes read and written a second by a copy, and floating-point
// operations a second of a bf16 product.
double copy_rate();
double product_rate();

// A size divided by MNEME_BENCH_SHRINK, at least 1 and a multiple of `multiple`.
std::int64_t shrunk(std::int64_t size, std::int64_t multiple = 1);

// What one run of an operation has to move or compute at least.
struct Work {
  double bytes = 0;  // read and written
  double flops = 0;
};

// Times `queue` after two runs that do not count. Counters: "share" of the limit that the work
// allows, the rate, and the limit itself.
void time_operation(benchmark::State& state, Bench& bench, const Work& work,
                    const std::function<void()>& queue);

// Registers a benchmark whose body makes its own Bench.
void add(const std::string& name, std::function<void(benchmark::State&)> body);

void add_limits();
void add_rows();
void add_keys();
void add_dense();

}  // namespace mneme::gpu_benchmark
