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
  kernels::RowArena arena;
  arena.layout = layout;
  const kernels::PartLayout& part = layout.parts[0];
  arena.parts[0].values = bench.normal(slots * part.columns.count, part.value_type, 0.02f);
  if (part.moments) {
    const std::int64_t bytes = slots * static_cast<std::int64_t>(part.moment_bytes());
    arena.parts[0].moment1 = bench.make<std::byte>(bytes);
    arena.parts[0].moment2 = bench.make<std::byte>(bytes);
    arena.moment_lag = bench.make<std::uint32_t>(slots);
  }
  arena.last_step = bench.make<std::uint32_t>(slots);
  return arena;
}

double row_bytes(const kernels::RecordLayout& layout) {
  return static_cast<double>(layout.value_bytes() + 2 * layout.parts[0].moment_bytes() + 8);
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
  const kernels::RecordLayout layout = kernels::RecordLayout::of(
      {.columns = kernels::ColumnRange::all(static_cast<std::uint32_t>(options.width)),
       .value_type = options.value_type,
       .moments = options.moments});
  rows_ = shrunk(std::int64_t{4} << 30) / static_cast<std::int64_t>(layout.value_bytes());
  arena_ = make_arena(bench_, layout, rows_);
  make_lookups();
  weights_ = static_cast<float*>(bench_.normal(grouped_.lookups, FloatType::kF32, 0.1f));
  d_y_ = static_cast<float*>(bench_.normal(tokens_ * options.width, FloatType::kF32, 0.01f));
  y_ = bench_.floats(tokens_ * options.width);
  d_weights_ = bench_.floats(grouped_.lookups);
  norms_ = bench_.floats(grouped_.lookups * kernels::kMostClipGroups);
  scale_ = bench_.floats(1);
  square_sums_ = bench_.make<double>(kernels::kMostClipGroups);
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
  kernels::RowGradient gradient;
  gradient.grouped = grouped_;
  gradient.parts[0] = {.factors = weights_, .vectors = d_y_, .columns = layout().parts[0].columns};
  backend.row_gradient_norms(stream, gradient, 0, distinct(), norms_);
  for (int group = 0; group < gradient.groups(); ++group) {
    backend.sum(stream, norms_ + group * distinct(), distinct(), square_sums_ + group);
  }
  backend.clip_scale(
      stream,
      {.square_sums = square_sums_, .groups = gradient.groups(), .limit = 1.0f, .scale = scale_});
  // The lazy kind takes the same step and does not ask which step a row is current for.
  backend.update_rows(stream, arena_, distinct_rows(), gradient, 0, distinct(),
                      {.kind = kernels::RowOptimizerKind::kAdamWLazy,
                       .step = kStep,
                       .learning_rate = 1e-6,
                       .weight_decay = 0.1,
                       .grad_scale = scale_});
}

}  // namespace mneme::gpu_benchmark
