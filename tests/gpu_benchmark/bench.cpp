#include "tests/gpu_benchmark/bench.h"

#include <algorithm>
#include <cstdlib>

namespace mneme::gpu_benchmark {
namespace {

constexpr int kLimitRuns = 9;

double median_seconds(Bench& bench, const std::function<void()>& queue) {
  queue();
  std::vector<double> seconds;
  for (int i = 0; i < kLimitRuns; ++i) seconds.push_back(bench.seconds(queue));
  std::nth_element(seconds.begin(), seconds.begin() + kLimitRuns / 2, seconds.end());
  return seconds[kLimitRuns / 2];
}

}  // namespace

Bench::Bench()
    : backend_(kernels::make_cuda_backend()),
      stream_(backend_->create_stream()),
      begin_(backend_->create_event()),
      end_(backend_->create_event()) {}

kernels::Buffer& Bench::buffer(std::size_t bytes, kernels::MemoryKind kind) {
  buffers_.push_back(backend_->allocate(bytes, kind));
  return buffers_.back();
}

void* Bench::normal(std::int64_t count, kernels::FloatType type, float standard_deviation) {
  // The initial values of a table are normal numbers: its rows are the array's pieces.
  constexpr std::int64_t kPiece = 1024;
  const std::int64_t rows = (count + kPiece - 1) / kPiece;
  kernels::RowArena arena;
  arena.layout = {.width = kPiece, .value_type = type, .moments = false};
  arena.values = make<std::byte>(rows * static_cast<std::int64_t>(arena.layout.value_bytes()));
  std::vector<std::uint32_t> ids(static_cast<std::size_t>(rows));
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::uint32_t>(i);
  const std::uint32_t* slots = upload(ids);
  arena.last_step = make<std::uint32_t>(rows);
  backend_->generate_rows(*stream_, arena, slots, slots, rows,
                          {.seed = buffers_.size(), .standard_deviation = standard_deviation});
  stream_->synchronize();
  return arena.values;
}

double Bench::seconds(const std::function<void()>& queue) {
  stream_->record(*begin_);
  queue();
  stream_->record(*end_);
  stream_->synchronize();
  return end_->seconds_since(*begin_);
}

double copy_rate() {
  static const double rate = [] {
    Bench bench;
    const std::int64_t floats = shrunk(std::int64_t{1} << 30, 1024);
    const void* from = bench.normal(floats, kernels::FloatType::kF32);
    void* to = bench.floats(floats);
    const auto bytes = static_cast<std::size_t>(floats) * 4;
    const double seconds =
        median_seconds(bench, [&] { bench.backend().copy(bench.stream(), to, from, bytes); });
    return 2.0 * static_cast<double>(bytes) / seconds;
  }();
  return rate;
}

double product_rate() {
  static const double rate = [] {
    Bench bench;
    const std::int64_t n = shrunk(8192, 64);
    kernels::MatmulArgs args;
    args.input_type = kernels::FloatType::kBF16;
    args.output_type = kernels::FloatType::kBF16;
    args.a = bench.normal(n * n, args.input_type);
    args.b = bench.normal(n * n, args.input_type);
    args.c = bench.normal(n * n, args.output_type);
    args.m = args.n = args.k = args.lda = args.ldb = args.ldc = n;
    const double seconds =
        median_seconds(bench, [&] { bench.backend().matmul(bench.stream(), args); });
    return 2.0 * static_cast<double>(n * n) * static_cast<double>(n) / seconds;
  }();
  return rate;
}

std::int64_t shrunk(std::int64_t size, std::int64_t multiple) {
  const char* text = std::getenv("MNEME_BENCH_SHRINK");
  const std::int64_t divisor = text == nullptr ? 1 : std::max<std::int64_t>(1, std::atoll(text));
  const std::int64_t exact = size / divisor;
  return std::max<std::int64_t>(1, exact / multiple) * multiple;
}

void time_operation(benchmark::State& state, Bench& bench, const Work& work,
                    const std::function<void()>& queue) {
  for (int i = 0; i < 2; ++i) queue();
  bench.stream().synchronize();
  double seconds = 0;
  for (auto _ : state) {
    const double passed = bench.seconds(queue);
    state.SetIterationTime(passed);
    seconds += passed;
  }
  const double each = seconds / static_cast<double>(std::max<std::int64_t>(1, state.iterations()));
  const double least = std::max(work.bytes / copy_rate(), work.flops / product_rate());
  state.counters["share"] = least / each;
  if (work.bytes > 0) {
    state.counters["GB/s"] = 1e-9 * work.bytes / each;
    state.counters["copy_GB/s"] = 1e-9 * copy_rate();
  }
  if (work.flops > 0) {
    state.counters["TFLOP/s"] = 1e-12 * work.flops / each;
    state.counters["product_TFLOP/s"] = 1e-12 * product_rate();
  }
}

void add(const std::string& name, std::function<void(benchmark::State&)> body) {
  benchmark::RegisterBenchmark(name.c_str(), std::move(body))
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond)
      ->MinTime(0.3);
}

void add_limits() {
  add("limit/device_copy", [](benchmark::State& state) {
    for (auto _ : state) state.SetIterationTime(1.0);
    state.counters["GB/s"] = 1e-9 * copy_rate();
  });
  add("limit/bf16_product_8192", [](benchmark::State& state) {
    for (auto _ : state) state.SetIterationTime(1.0);
    state.counters["TFLOP/s"] = 1e-12 * product_rate();
  });
}

}  // namespace mneme::gpu_benchmark

int main(int argc, char** argv) {
  using namespace mneme::gpu_benchmark;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  add_limits();
  add_rows();
  add_keys();
  add_dense();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
