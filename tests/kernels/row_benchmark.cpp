// Speed of the row operations as shipped, with the bytes that each must move: GB/s to hold beside
// what copies and gathers of the machine reach. Working set: 512 tokens x 128 lookups of width 256
// in a table of 2M rows, nearly all distinct, as in the project's row benchmark.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/backend.h"
#include "kernels/catch_up_table.h"

namespace mneme {
namespace {

using kernels::Buffer;
using kernels::MemoryKind;

constexpr std::int64_t kTokens = 512, kPerToken = 128, kWidth = 256;
constexpr std::int64_t kLookups = kTokens * kPerToken;
constexpr std::uint32_t kTableRows = 1u << 21;
constexpr std::uint64_t kStep = 1000;

struct Setup {
  std::unique_ptr<kernels::Backend> backend = kernels::make_cpu_backend({.threads = 2});
  std::unique_ptr<kernels::Stream> stream = backend->create_stream();
  std::vector<Buffer> buffers;
  kernels::RowArena arena;
  kernels::GroupedLookups grouped;
  float* weights = nullptr;
  float* d_weights = nullptr;
  float* y = nullptr;
  float* d_y = nullptr;
  float* norms = nullptr;
  kernels::SlotId* slots = nullptr;
  kernels::CatchUpArgs catch_up;
  std::int64_t distinct = 0;

  template <typename T>
  T* make(std::int64_t count) {
    buffers.push_back(
        backend->allocate(static_cast<std::size_t>(count) * sizeof(T), MemoryKind::kPinnedHost));
    return buffers.back().as<T>();
  }

  Setup() {
    std::mt19937 engine(1);
    std::normal_distribution<float> normal;
    arena.layout = kernels::RecordLayout::of({.columns = kernels::ColumnRange::all(kWidth)});
    arena.parts[0].values = make<float>(kTableRows * kWidth);
    arena.parts[0].moment1 = make<float>(kTableRows * kWidth);
    arena.parts[0].moment2 = make<float>(kTableRows * kWidth);
    arena.last_step = make<std::uint32_t>(kTableRows);
    arena.moment_lag = make<std::uint32_t>(kTableRows);
    kernels::RowId* rows = make<kernels::RowId>(kLookups);
    for (std::int64_t l = 0; l < kLookups; ++l) rows[l] = engine() % kTableRows;
    grouped = {.rows = rows,
               .lookups = kLookups,
               .lookups_per_token = kPerToken,
               .unique_rows = make<std::uint32_t>(kLookups),
               .offsets = make<std::uint32_t>(kLookups + 1),
               .order = make<std::uint32_t>(kLookups),
               .unique_index = make<std::uint32_t>(kLookups),
               .token_order = make<std::uint32_t>(kLookups),
               .count = make<std::uint64_t>(1)};
    backend->group_lookups(*stream, grouped);
    stream->synchronize();
    distinct = static_cast<std::int64_t>(*grouped.count);
    slots = make<kernels::SlotId>(kLookups);
    std::vector<kernels::SlotId> all(kTableRows);
    std::iota(all.begin(), all.end(), 0u);
    std::shuffle(all.begin(), all.end(), engine);
    std::copy(all.begin(), all.begin() + distinct, slots);
    weights = make<float>(kLookups);
    d_weights = make<float>(kLookups);
    y = make<float>(kTokens * kWidth);
    d_y = make<float>(kTokens * kWidth);
    norms = make<float>(kLookups * kernels::kMostClipGroups);
    for (std::int64_t l = 0; l < kLookups; ++l) weights[l] = normal(engine) / 32;
    for (std::int64_t i = 0; i < kTokens * kWidth; ++i) d_y[i] = normal(engine) * 0.01f;
    for (std::int64_t i = 0; i < distinct; ++i) {
      for (std::int64_t c = 0; c < kWidth; ++c) {
        static_cast<float*>(arena.parts[0].values)[slots[i] * kWidth + c] = normal(engine) / 16;
      }
    }
    set_rows(kStep);
    kernels::CatchUpTable table(
        {.weight_decay = 0.1, .learning_rate = [](std::uint64_t) { return 1e-3; }});
    table.advance(kStep);
    auto* entries = make<kernels::CatchUpEntry>(kStep);
    auto* rates = make<float>(kStep + 1);
    auto* decay = make<double>(kStep + 1);
    auto* moment_decay = make<kernels::MomentDecay>(kStep + 1);
    std::ranges::copy(table.entries(), entries);
    std::ranges::copy(table.learning_rates(), rates);
    std::ranges::copy(table.log_decay(), decay);
    std::ranges::copy(table.moment_decay(), moment_decay);
    table.describe(catch_up);
    catch_up.entries = entries;
    catch_up.learning_rates = rates;
    catch_up.log_decay = decay;
    catch_up.moment_decay = moment_decay;
  }

  // Moments as after a first gradient, last updated in `step`. Updates change them, so they are set
  // anew before each timing.
  void set_rows(std::uint64_t step) {
    for (std::int64_t i = 0; i < distinct; ++i) {
      arena.last_step[slots[i]] = static_cast<std::uint32_t>(step);
      arena.moment_lag[slots[i]] = 0;
      const float* token = d_y + i * 13 % kTokens * kWidth;
      float* m = static_cast<float*>(arena.parts[0].moment1) + slots[i] * kWidth;
      float* v = static_cast<float*>(arena.parts[0].moment2) + slots[i] * kWidth;
      for (std::int64_t c = 0; c < kWidth; ++c) {
        const float g = weights[i] * token[c];
        m[c] = g * 0.1f;
        v[c] = g * g * 0.05f;
      }
    }
  }
  kernels::RowGradient gradient() const {
    kernels::RowGradient all;
    all.grouped = grouped;
    all.parts[0] = {
        .factors = weights, .vectors = d_y, .columns = kernels::ColumnRange::all(kWidth)};
    return all;
  }
  void group() { backend->group_lookups(*stream, grouped); }
  void gather() {
    backend->gather_rows(*stream, arena,
                         {.grouped = grouped,
                          .weights = weights,
                          .slots = slots,
                          .first = 0,
                          .count = distinct,
                          .y = y});
  }
  void dot() {
    backend->lookup_dot(*stream, arena,
                        {.grouped = grouped,
                         .d_y = d_y,
                         .slots = slots,
                         .first = 0,
                         .count = distinct,
                         .d_weights = d_weights});
  }
  void square_norms() { backend->row_gradient_norms(*stream, gradient(), 0, distinct, norms); }
  void update() {
    backend->update_rows(*stream, arena, slots, gradient(), 0, distinct,
                         {.step = kStep + 1,
                          .learning_rate = 1e-6,
                          .weight_decay = 0.1,
                          .moment_decay = catch_up.moment_decay});
  }
  void catch_up_rows() {
    backend->catch_up_rows(*stream, arena, grouped.unique_rows, slots, distinct, catch_up);
  }
};

Setup& setup() {
  static Setup made;
  return made;
}

void report(benchmark::State& state, std::int64_t bytes) {
  state.counters["GB/s"] =
      benchmark::Counter(static_cast<double>(bytes), benchmark::Counter::kIsIterationInvariantRate,
                         benchmark::Counter::kIs1000);
}

// Times one operation; `before` is not counted.
template <typename Before, typename Operation>
void time_operation(benchmark::State& state, std::int64_t bytes, const Before& before,
                    const Operation& operation) {
  Setup& s = setup();
  for ([[maybe_unused]] auto _ : state) {
    state.PauseTiming();
    before(s);
    state.ResumeTiming();
    operation(s);
    s.stream->synchronize();
  }
  report(state, bytes);
}

constexpr auto nothing = [](Setup&) {};
constexpr std::int64_t kValueBytes = kLookups * kWidth * 4;

// The limit: a plain copy of memory that is not in cache, read + written bytes.
void copy_limit(benchmark::State& state) {
  Setup& s = setup();
  const std::size_t bytes = std::size_t{512} << 20;
  auto* base = static_cast<std::byte*>(s.arena.parts[0].values);
  for ([[maybe_unused]] auto _ : state) {
    s.backend->copy(*s.stream, static_cast<std::byte*>(s.arena.parts[0].moment1) + bytes,
                    base + bytes, bytes);
    s.stream->synchronize();
  }
  report(state, 2 * static_cast<std::int64_t>(bytes));
}
void group_lookups(benchmark::State& state) {
  time_operation(state, kLookups * 4 * 5, nothing, [](Setup& s) { s.group(); });
}
void gather_rows(benchmark::State& state) {
  time_operation(state, kValueBytes, nothing, [](Setup& s) { s.gather(); });
}
void lookup_dot(benchmark::State& state) {
  time_operation(state, kValueBytes, nothing, [](Setup& s) { s.dot(); });
}
void row_gradient_norms(benchmark::State& state) {
  time_operation(state, kValueBytes, nothing, [](Setup& s) { s.square_norms(); });
}
void update_rows(benchmark::State& state) {
  time_operation(
      state, 6 * kValueBytes, [](Setup& s) { s.set_rows(kStep); }, [](Setup& s) { s.update(); });
}
// Argument: steps missed.
void catch_up_rows(benchmark::State& state) {
  const auto missed = static_cast<std::uint64_t>(state.range(0));
  time_operation(
      state, 4 * kValueBytes, [=](Setup& s) { s.set_rows(kStep - missed); },
      [](Setup& s) { s.catch_up_rows(); });
}
// Everything that a training step does to its rows. Argument: steps missed.
void row_step(benchmark::State& state) {
  const auto missed = static_cast<std::uint64_t>(state.range(0));
  time_operation(
      state, 12 * kValueBytes, [=](Setup& s) { s.set_rows(kStep - missed); },
      [](Setup& s) {
        s.group();
        s.catch_up_rows();
        s.gather();
        s.dot();
        s.square_norms();
        s.update();
      });
}

void product_keys(benchmark::State& state) {
  Setup& s = setup();
  const std::int64_t heads = 4, knn = 32, half_keys = state.range(0);
  const Buffer scores = s.backend->allocate(
      static_cast<std::size_t>(kTokens * heads * 2 * half_keys) * 4, MemoryKind::kPinnedHost);
  const Buffer rows = s.backend->allocate(kLookups * 4, MemoryKind::kPinnedHost);
  const Buffer weights = s.backend->allocate(kLookups * 4, MemoryKind::kPinnedHost);
  std::mt19937 engine(2);
  std::normal_distribution<float> normal;
  for (std::int64_t i = 0; i < kTokens * heads * 2 * half_keys; ++i) {
    scores.as<float>()[i] = normal(engine);
  }
  for ([[maybe_unused]] auto _ : state) {
    s.backend->product_keys(*s.stream, {.half_scores = scores.as<float>(),
                                        .rows = rows.as<kernels::RowId>(),
                                        .weights = weights.as<float>(),
                                        .tokens = kTokens,
                                        .heads = heads,
                                        .half_keys = half_keys,
                                        .knn = knn});
    s.stream->synchronize();
  }
  report(state, kTokens * heads * 2 * half_keys * 4);
}

BENCHMARK(copy_limit)->MeasureProcessCPUTime()->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(group_lookups)->MeasureProcessCPUTime()->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(gather_rows)->MeasureProcessCPUTime()->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(lookup_dot)->MeasureProcessCPUTime()->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(row_gradient_norms)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(update_rows)->MeasureProcessCPUTime()->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(catch_up_rows)
    ->Arg(1)
    ->Arg(30)
    ->Arg(300)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(row_step)->Arg(0)->Arg(1)->Arg(300)->MeasureProcessCPUTime()->UseRealTime()->Unit(
    benchmark::kMillisecond);
BENCHMARK(product_keys)
    ->Arg(1024)
    ->Arg(8192)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace mneme

BENCHMARK_MAIN();
