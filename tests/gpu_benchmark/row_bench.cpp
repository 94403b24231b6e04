#include "tests/gpu_benchmark/row_bench.h"

#include <numeric>
#include <random>

namespace mneme::gpu_benchmark {
namespace {

using kernels::FloatType;

constexpr std::int64_t kPerToken = 128;

std::vector<std::uint32_t> numbers_up_to(std::int64_t count) {
  std::vector<std::uint32_t> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0u);
  return numbers;
}

}  // namespace

kernels::RowArena make_arena(Bench& bench, const kernels::RecordLayout& layout,
                             std::int64_t slots) {
  kernels::RowArena arena{.layout = layout};
  arena.values = bench.normal(slots * layout.width, layout.value_type, 0.02f);
  if (layout.moments) {
    const std::int64_t bytes = slots * static_cast<std::int64_t>(layout.moment_bytes());
    arena.moment1 = bench.make<std::byte>(bytes);
    arena.moment2 = bench.make<std::byte>(bytes);
  }
  arena.last_step = bench.make<std::uint32_t>(slots);
  return arena;
}

double row_bytes(const kernels::RecordLayout& layout) {
  return static_cast<double>(layout.value_bytes() + 2 * layout.moment_bytes() + 4);
}

std::uint32_t* upload_count(Bench& bench, std::int64_t count) {
  return bench.upload(numbers_up_to(count));
}

std::uint32_t* upload_shuffled(Bench& bench, std::int64_t count) {
  std::vector<std::uint32_t> numbers = numbers_up_to(count);
  std::shuffle(numbers.begin(), numbers.end(), std::mt19937(1));
  return bench.upload(numbers);
}

RowBench::RowBench(const Options& options) : options_(options), tokens_(shrunk(options.tokens)) {
  const kernels::RecordLayout layout{.width = static_cast<std::uint32_t>(options.width),
                                     .value_type = options.value_type,
                                     .moments = options.moments};
  rows_ = shrunk(std::int64_t{4} << 30) / static_cast<std::int64_t>(layout.value_bytes());
  arena_ = make_arena(bench_, layout, rows_);
  make_lookups();
  weights_ = static_cast<float*>(bench_.normal(grouped_.lookups, FloatType::kF32, 0.1f));
  d_y_ = static_cast<float*>(bench_.normal(tokens_ * options.width, FloatType::kF32, 0.01f));
  y_ = bench_.floats(tokens_ * options.width);
  d_weights_ = bench_.floats(grouped_.lookups);
  norms_ = bench_.floats(grouped_.lookups);
  scale_ = bench_.floats(1);
  square_sum_ = bench_.make<double>(1);
}

void RowBench::make_lookups() {
  const std::int64_t lookups = tokens_ * kPerToken;
  std::mt19937 random(1);
  std::vector<kernels::RowId> rows(static_cast<std::size_t>(lookups));
  for (auto& row : rows) row = static_cast<kernels::RowId>(random() % rows_);
  grouped_ = {.rows = bench_.upload(rows),
              .lookups = lookups,
              .lookups_per_token = kPerToken,
              .unique_rows = bench_.make<std::uint32_t>(lookups),
              .offsets = bench_.make<std::uint32_t>(lookups + 1),
              .order = bench_.make<std::uint32_t>(lookups),
              .unique_index = bench_.make<std::uint32_t>(lookups),
              .token_order = bench_.make<std::uint32_t>(lookups),
              .count = bench_.pinned<std::uint64_t>(1)};
  group();
  bench_.stream().synchronize();
}

void RowBench::gather() {
  bench_.backend().gather_rows(bench_.stream(), arena_,
                               {.grouped = grouped_,
                                .weights = weights_,
                                .slots = distinct_rows(),
                                .first = 0,
                                .count = distinct(),
                                .y = y_});
}

void RowBench::dot() {
  bench_.backend().lookup_dot(bench_.stream(), arena_,
                              {.grouped = grouped_,
                               .d_y = d_y_,
                               .slots = distinct_rows(),
                               .first = 0,
                               .count = distinct(),
                               .d_weights = d_weights_});
}

void RowBench::norm_and_update() {
  kernels::Backend& backend = bench_.backend();
  kernels::Stream& stream = bench_.stream();
  const kernels::RowGradient gradient{
      .grouped = grouped_, .weights = weights_, .d_y = d_y_, .width = options_.width};
  backend.row_gradient_norms(stream, gradient, 0, distinct(), norms_);
  backend.sum(stream, norms_, distinct(), square_sum_);
  backend.clip_scale(stream, square_sum_, 1.0f, scale_);
  // The lazy kind takes the same step and does not ask which step a row is current for.
  backend.update_rows(stream, arena_, distinct_rows(), gradient, 0, distinct(),
                      {.kind = kernels::RowOptimizerKind::kAdamWLazy,
                       .step = kStep,
                       .learning_rate = 1e-6,
                       .weight_decay = 0.1,
                       .grad_scale = scale_});
}

}  // namespace mneme::gpu_benchmark
