// Rows of a value table: the weighted gather, and what backward and the optimiser do to them.
#include <fmt/format.h>

#include <random>

#include "tests/gpu_benchmark/bench.h"

namespace mneme::gpu_benchmark {
namespace {

using kernels::FloatType;

constexpr std::int64_t kPerToken = 128;
constexpr std::uint64_t kStep = 100;

// A table in device memory whose values take 4 GiB, and one step's look-ups in it.
class RowBench {
 public:
  RowBench(std::int64_t width, FloatType value_type, bool moments) : width_(width) {
    arena_.layout = {
        .width = static_cast<std::uint32_t>(width), .value_type = value_type, .moments = moments};
    rows_ = shrunk(std::int64_t{4} << 30) / static_cast<std::int64_t>(arena_.layout.value_bytes());
    const auto moment_bytes = static_cast<std::int64_t>(arena_.layout.moment_bytes());
    arena_.values = bench_.normal(rows_ * width, value_type, 0.02f);
    if (moments) {
      arena_.moment1 = bench_.make<std::byte>(rows_ * moment_bytes);
      arena_.moment2 = bench_.make<std::byte>(rows_ * moment_bytes);
    }
    arena_.last_step = bench_.make<std::uint32_t>(rows_);
    make_lookups();
    weights_ = static_cast<float*>(bench_.normal(lookups(), FloatType::kF32, 0.1f));
    d_y_ = static_cast<float*>(bench_.normal(tokens_ * width, FloatType::kF32, 0.01f));
    y_ = bench_.floats(tokens_ * width);
    d_weights_ = bench_.floats(lookups());
    norms_ = bench_.floats(lookups());
    scale_ = bench_.floats(1);
    square_sum_ = bench_.make<double>(1);
  }

  Bench& bench() { return bench_; }
  std::int64_t lookups() const { return tokens_ * kPerToken; }
  double distinct() const { return static_cast<double>(*grouped_.count); }
  double token_bytes() const { return static_cast<double>(tokens_ * width_ * 4); }
  const kernels::RecordLayout& layout() const { return arena_.layout; }

  void group() { bench_.backend().group_lookups(bench_.stream(), grouped_); }
  void gather() {
    bench_.backend().gather_rows(bench_.stream(), arena_,
                                 {.grouped = grouped_,
                                  .weights = weights_,
                                  .slots = grouped_.unique_rows,  // row r lies in slot r
                                  .first = 0,
                                  .count = static_cast<std::int64_t>(*grouped_.count),
                                  .y = y_});
  }
  void dot() {
    bench_.backend().lookup_dot(bench_.stream(), arena_,
                                {.grouped = grouped_,
                                 .d_y = d_y_,
                                 .slots = grouped_.unique_rows,
                                 .first = 0,
                                 .count = static_cast<std::int64_t>(*grouped_.count),
                                 .d_weights = d_weights_});
  }
  void norm_and_update() {
    kernels::Backend& backend = bench_.backend();
    kernels::Stream& stream = bench_.stream();
    const auto count = static_cast<std::int64_t>(*grouped_.count);
    const kernels::RowGradient gradient{
        .grouped = grouped_, .weights = weights_, .d_y = d_y_, .width = width_};
    backend.row_gradient_norms(stream, gradient, 0, count, norms_);
    backend.sum(stream, norms_, count, square_sum_);
    backend.clip_scale(stream, square_sum_, 1.0f, scale_);
    // The lazy kind takes the same step and does not ask which step a row is current for.
    backend.update_rows(stream, arena_, grouped_.unique_rows, gradient, 0, count,
                        {.kind = kernels::RowOptimizerKind::kAdamWLazy,
                         .step = kStep,
                         .learning_rate = 1e-6,
                         .weight_decay = 0.1,
                         .grad_scale = scale_});
  }

 private:
  void make_lookups() {
    std::mt19937 random(1);
    std::vector<kernels::RowId> rows(static_cast<std::size_t>(lookups()));
    for (auto& row : rows) row = static_cast<kernels::RowId>(random() % rows_);
    grouped_ = {.rows = bench_.upload(rows),
                .lookups = lookups(),
                .lookups_per_token = kPerToken,
                .unique_rows = bench_.make<std::uint32_t>(lookups()),
                .offsets = bench_.make<std::uint32_t>(lookups() + 1),
                .order = bench_.make<std::uint32_t>(lookups()),
                .unique_index = bench_.make<std::uint32_t>(lookups()),
                .token_order = bench_.make<std::uint32_t>(lookups()),
                .count = bench_.pinned<std::uint64_t>(1)};
    group();
    bench_.stream().synchronize();
  }

  Bench bench_;
  std::int64_t width_;
  std::int64_t rows_ = 0;
  std::int64_t tokens_ = shrunk(4096);
  kernels::RowArena arena_;
  kernels::GroupedLookups grouped_;
  float *weights_, *d_y_, *y_, *d_weights_, *norms_, *scale_;
  double* square_sum_;
};

void gather(benchmark::State& state, std::int64_t width) {
  RowBench rows(width, FloatType::kBF16, false);
  const double bytes =
      static_cast<double>(rows.lookups()) * static_cast<double>(rows.layout().value_bytes() + 12) +
      2 * rows.token_bytes();
  time_operation(state, rows.bench(), {.bytes = bytes}, [&] { rows.gather(); });
}

// Least traffic: the dot reads each distinct row's value, the update reads and writes its record;
// dot, norm and update read the tokens' gradients once each.
void backward(benchmark::State& state, std::int64_t width, FloatType value_type) {
  RowBench rows(width, value_type, true);
  const auto& layout = rows.layout();
  const auto record = static_cast<double>(layout.value_bytes() + 2 * layout.moment_bytes() + 4);
  const double bytes = rows.distinct() * (static_cast<double>(layout.value_bytes()) + 2 * record) +
                       3 * rows.token_bytes() + static_cast<double>(rows.lookups()) * 3 * 12;
  time_operation(state, rows.bench(), {.bytes = bytes}, [&] {
    rows.dot();
    rows.norm_and_update();
  });
}

void group(benchmark::State& state) {
  RowBench rows(1024, FloatType::kBF16, false);
  // Least traffic: the rows are read, four results of one word a look-up are written.
  time_operation(state, rows.bench(), {.bytes = static_cast<double>(rows.lookups()) * 4 * 5},
                 [&] { rows.group(); });
}

}  // namespace

void add_rows() {
  for (const std::int64_t width : {1024, 2048, 4096}) {
    add(fmt::format("gather_rows/bf16/128_rows/width_{}", width),
        [width](benchmark::State& state) { gather(state, width); });
  }
  add("row_backward/bf16/width_1024",
      [](benchmark::State& state) { backward(state, 1024, FloatType::kBF16); });
  add("row_backward/float32/width_1024",
      [](benchmark::State& state) { backward(state, 1024, FloatType::kF32); });
  add("group_lookups/524288", group);
}

}  // namespace mneme::gpu_benchmark
