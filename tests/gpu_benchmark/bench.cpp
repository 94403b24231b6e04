#include "tests/gpu_benchmark/bench.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>

namespace mneme::gpu_benchmark {
namespace {

using Clock = std::chrono::steady_clock;

// A benchmark ends after so much device time, so many runs, or so much time with preparations.
constexpr double kDeviceSeconds = 0.3, kWallSeconds = 1.5;
constexpr std::size_t kLeastRuns = 3, kMostRuns = 300;

bool any_failed = false;

// More than an L2 cache holds.
constexpr std::int64_t kUnrelatedNumbers = std::int64_t{64} << 20;

// Device memory that profilers find free: they keep their own records there, and what they restore
// before they run a kernel again.
constexpr std::int64_t kReserveBytes = std::int64_t{8} << 30;

std::int64_t shrink_divisor() {
  const char* text = std::getenv("MNEME_BENCH_SHRINK");
  return text == nullptr ? 1 : std::max<std::int64_t>(1, std::atoll(text));
}

}  // namespace

Bench::Bench()
    : backend_(kernels::make_cuda_backend(
          {.reserve_bytes = static_cast<std::size_t>(shrunk(kReserveBytes))})),
      stream_(backend_->create_stream()),
      second_stream_(backend_->create_stream()),
      begin_(backend_->create_event()),
      end_(backend_->create_event()),
      fork_(backend_->create_event()),
      join_(backend_->create_event()) {
  unrelated_ = floats(shrunk(kUnrelatedNumbers));
  unrelated_sum_ = make<double>(1);
}

kernels::Buffer& Bench::buffer(std::size_t bytes, kernels::MemoryKind kind) {
  buffers_.push_back(backend_->allocate(bytes, kind));
  return buffers_.back();
}

void* Bench::normal(std::int64_t count, kernels::FloatType type, float standard_deviation) {
  // The initial values of a table are normal numbers: its rows are the array's pieces.
  constexpr std::int64_t kPiece = 1024;
  const std::int64_t rows = (count + kPiece - 1) / kPiece;
  kernels::RowArena arena;
  arena.layout = kernels::RecordLayout::of(
      {.columns = kernels::ColumnRange::all(kPiece), .value_type = type, .moments = false});
  void* const values =
      make<std::byte>(rows * static_cast<std::int64_t>(arena.layout.value_bytes()));
  arena.parts[0].values = values;
  std::vector<std::uint32_t> ids(static_cast<std::size_t>(rows));
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::uint32_t>(i);
  const std::uint32_t* slots = upload(ids);
  arena.last_step = make<std::uint32_t>(rows);
  backend_->generate_rows(*stream_, arena, slots, slots, rows,
                          {.seed = buffers_.size(), .standard_deviation = {standard_deviation}});
  stream_->synchronize();
  return values;
}

void Bench::at_once(const std::function<void()>& main,
                    const std::function<void(kernels::Stream&)>& aside) {
  stream_->record(*fork_);
  second_stream_->wait(*fork_);
  aside(*second_stream_);
  second_stream_->record(*join_);
  main();
  stream_->wait(*join_);
}

double Bench::seconds(const std::function<void()>& queue, const std::function<void()>& before) {
  if (before) before();
  // Reading unrelated memory leaves nothing to be written back later, and takes the device long
  // enough for the host to queue ahead of it: launching is not timed.
  backend_->sum(*stream_, unrelated_, shrunk(kUnrelatedNumbers), unrelated_sum_);
  stream_->record(*begin_);
  queue();
  stream_->record(*end_);
  stream_->synchronize();
  return end_->seconds_since(*begin_);
}

double Bench::median_seconds(const std::function<void()>& queue,
                             const std::function<void()>& before) {
  const bool once = shrink_divisor() > 1;
  for (int i = 0; i < 2; ++i) seconds(queue, before);
  const auto start = Clock::now();
  const auto wall = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  std::vector<double> runs;
  double passed = 0;
  do {
    runs.push_back(seconds(queue, before));
    passed += runs.back();
  } while (!once &&
           (runs.size() < kLeastRuns ||
            (runs.size() < kMostRuns && passed < kDeviceSeconds && wall() < kWallSeconds)));
  const auto middle = runs.begin() + static_cast<std::ptrdiff_t>(runs.size() / 2);
  std::nth_element(runs.begin(), middle, runs.end());
  return *middle;
}

std::int64_t shrunk(std::int64_t size, std::int64_t multiple) {
  return std::max<std::int64_t>(1, size / shrink_divisor() / multiple) * multiple;
}

void time_operation(benchmark::State& state, Bench& bench, const Work& work,
                    const std::function<void()>& queue, const std::function<void()>& before) {
  const double seconds = bench.median_seconds(queue, before);
  for (auto _ : state) state.SetIterationTime(seconds);

  const Limits& limit = limits();
  // The part of the traffic that takes longest.
  struct Traffic {
    double bytes, limit;
    double least() const { return bytes / limit; }
  };
  const Traffic traffic = std::max({Traffic{work.bytes, limit.copied_bytes},
                                    Traffic{work.bytes_from_host, limit.bytes_from_host},
                                    Traffic{work.bytes_to_host, limit.bytes_to_host},
                                    Traffic{work.bytes_both_ways, limit.bytes_both_ways}},
                                   [](auto& a, auto& b) { return a.least() < b.least(); });
  const double least = std::max(traffic.least(), work.flops / limit.product_flops);
  state.counters["share"] = least / seconds;
  if (traffic.bytes > 0) {
    state.counters["GB/s"] = 1e-9 * traffic.bytes / seconds;
    state.counters["limit_GB/s"] = 1e-9 * traffic.limit;
  }
  if (work.flops > 0) {
    state.counters["TFLOP/s"] = 1e-12 * work.flops / seconds;
    state.counters["limit_TFLOP/s"] = 1e-12 * limit.product_flops;
  }
}

void add(const std::string& name, std::function<void(benchmark::State&)> body) {
  // One iteration of the library's is all runs that the median is of: it would call the body, with
  // all its preparations, several times to find how many it needs.
  benchmark::RegisterBenchmark(name.c_str(),
                               [body = std::move(body)](benchmark::State& state) {
                                 try {
                                   limits();
                                   body(state);
                                 } catch (const std::exception& error) {
                                   any_failed = true;
                                   state.SkipWithError(error.what());
                                 }
                               })
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond)
      ->Iterations(1);
}

}  // namespace mneme::gpu_benchmark

int main(int argc, char** argv) {
  using namespace mneme::gpu_benchmark;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  if (const std::string reason = mneme::kernels::cuda_unavailable(); !reason.empty()) {
    std::fprintf(stderr, "gpu_benchmark: %s\n", reason.c_str());
    return 1;
  }
  add_limits();
  add_rows();
  add_records();
  add_residency();
  add_keys();
  add_dense();
  add_experts();
  add_products();
  benchmark::RunSpecifiedBenchmarks();
  return any_failed ? 1 : 0;
}
