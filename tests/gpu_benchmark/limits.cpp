// What this machine can do at most, measured before anything else.
#include <chrono>

#include "tests/gpu_benchmark/bench.h"

namespace mneme::gpu_benchmark {
namespace {

using kernels::FloatType;

double copied_bytes() {
  Bench bench;
  const std::int64_t count = shrunk(std::int64_t{1} << 30, 1024);
  const void* from = bench.normal(count, FloatType::kF32);
  void* to = bench.floats(count);
  const auto bytes = static_cast<std::size_t>(count) * 4;
  const double seconds =
      bench.median_seconds([&] { bench.backend().copy(bench.stream(), to, from, bytes); }, nullptr);
  return 2.0 * static_cast<double>(bytes) / seconds;
}

double product_flops() {
  Bench bench;
  const std::int64_t n = shrunk(8192, 64);
  kernels::MatmulArgs args;
  args.input_type = FloatType::kBF16;
  args.output_type = FloatType::kBF16;
  args.a = bench.normal(n * n, args.input_type);
  args.b = bench.normal(n * n, args.input_type);
  args.c = bench.normal(n * n, args.output_type);
  args.m = args.n = args.k = args.lda = args.ldb = args.ldc = n;
  const double seconds =
      bench.median_seconds([&] { bench.backend().matmul(bench.stream(), args); }, nullptr);
  return 2.0 * static_cast<double>(n * n) * static_cast<double>(n) / seconds;
}

void measure_bus(Limits& limits) {
  Bench bench;
  const std::int64_t count = shrunk(std::int64_t{1} << 30, 4096);
  auto* const sent = bench.pinned<std::byte>(count);
  auto* const received = bench.pinned<std::byte>(count);
  auto* const in = bench.make<std::byte>(count);
  auto* const out = bench.make<std::byte>(count);
  const auto bytes = static_cast<std::size_t>(count);
  const auto from_host = [&] { bench.backend().copy(bench.stream(), in, sent, bytes); };
  const auto to_host = [&](kernels::Stream& stream) {
    bench.backend().copy(stream, received, out, bytes);
  };
  const auto rate = [&](double copies, const std::function<void()>& queue) {
    return copies * static_cast<double>(bytes) / bench.median_seconds(queue, nullptr);
  };
  limits.bytes_from_host = rate(1, from_host);
  limits.bytes_to_host = rate(1, [&] { to_host(bench.stream()); });
  limits.bytes_both_ways = rate(2, [&] { bench.at_once(from_host, to_host); });
}

void add_limit(const char* name, const char* counter, double Limits::*limit, double scale) {
  add(name, [=](benchmark::State& state) {
    for (auto _ : state) state.SetIterationTime(1.0);
    state.counters[counter] = scale * (limits().*limit);
  });
}

// How fast the system hands out pinned memory, which a run's host tier waits for when it opens.
void add_pinning() {
  add("limit/pin_4_GiB", [](benchmark::State& state) {
    Bench bench;
    const std::int64_t bytes = shrunk(std::int64_t{4} << 30, 4096);
    for (auto _ : state) {
      const auto start = std::chrono::steady_clock::now();
      bench.pinned<std::byte>(bytes);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      state.SetIterationTime(took.count());
      state.counters["GB/s"] = 1e-9 * static_cast<double>(bytes) / took.count();
    }
  });
}

}  // namespace

const Limits& limits() {
  static const Limits measured = [] {
    Limits all{.copied_bytes = copied_bytes(), .product_flops = product_flops()};
    measure_bus(all);
    return all;
  }();
  return measured;
}

void add_limits() {
  add_limit("limit/device_copy", "GB/s", &Limits::copied_bytes, 1e-9);
  add_limit("limit/bf16_product_8192", "TFLOP/s", &Limits::product_flops, 1e-12);
  add_limit("limit/pinned_copy_from_host", "GB/s", &Limits::bytes_from_host, 1e-9);
  add_limit("limit/pinned_copy_to_host", "GB/s", &Limits::bytes_to_host, 1e-9);
  add_limit("limit/pinned_copies_both_ways", "GB/s", &Limits::bytes_both_ways, 1e-9);
  add_pinning();
}

}  // namespace mneme::gpu_benchmark
