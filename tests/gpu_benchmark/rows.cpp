// Rows of a value table in a step: grouping, the weighted gather, catching up, and what backward
// and the optimiser do.
#include <fmt/format.h>

#include "kernels/catch_up_table.h"
#include "tests/gpu_benchmark/row_bench.h"

namespace mneme::gpu_benchmark {
namespace {

using kernels::FloatType;

void group(benchmark::State& state) {
  RowBench rows({});
  time_operation(state, rows.bench(), {.bytes = rows.lookups() * (4 * 16 + 36)},
                 [&] { rows.group(); });
}

void gather(benchmark::State& state, std::int64_t width, FloatType value_type) {
  RowBench rows({.width = width, .value_type = value_type});
  const auto value_bytes = static_cast<double>(rows.layout().value_bytes());
  time_operation(state, rows.bench(),
                 {.bytes = rows.lookups() * (value_bytes + 16) + 2 * rows.token_bytes()},
                 [&] { rows.gather(); });
}

// Least traffic, below what docs/cuda.md counts for the dot: it reads each distinct row's value
// once, the update reads and writes the record; dot, norm and update read the tokens' gradients
// once each.
void backward(benchmark::State& state, FloatType value_type, std::int64_t tokens) {
  RowBench rows({.value_type = value_type, .moments = true, .tokens = tokens});
  const auto value_bytes = static_cast<double>(rows.layout().value_bytes());
  const double bytes =
      static_cast<double>(rows.distinct()) * (value_bytes + 2 * row_bytes(rows.layout())) +
      3 * rows.token_bytes() + rows.lookups() * 3 * 12;
  time_operation(state, rows.bench(), {.bytes = bytes}, [&] {
    rows.dot();
    rows.norm_and_update();
  });
}

kernels::CatchUpArgs make_catch_up(Bench& bench, std::uint64_t target_step) {
  kernels::CatchUpTable table(
      {.weight_decay = 0.1, .learning_rate = [](std::uint64_t) { return 1e-3; }});
  table.advance(target_step);
  const auto upload = [&](auto span) {
    using Element = typename decltype(span)::value_type;
    return bench.upload(std::vector<Element>(span.begin(), span.end()));
  };
  kernels::CatchUpArgs args{.entries = upload(table.entries()),
                            .learning_rates = upload(table.learning_rates()),
                            .log_decay = upload(table.log_decay()),
                            .moment_decay = upload(table.moment_decay()),
                            .seed = 1};
  table.describe(args);
  return args;
}

// Rows that all had a gradient in one step and then in none for 30 steps.
void catch_up(benchmark::State& state, FloatType value_type) {
  RowBench rows({.value_type = value_type, .moments = true});
  Bench& bench = rows.bench();
  kernels::Backend& backend = bench.backend();
  rows.norm_and_update();
  const std::int64_t count = rows.distinct();
  const kernels::RowArena before = make_arena(bench, rows.layout(), count);
  const std::uint32_t* const kept = upload_count(bench, count);
  backend.copy_rows(bench.stream(), rows.arena(), rows.distinct_rows(), before, kept, count);
  const kernels::CatchUpArgs args = make_catch_up(bench, RowBench::kStep + 30);
  time_operation(
      state, bench, {.bytes = static_cast<double>(count) * 2 * row_bytes(rows.layout())},
      [&] {
        backend.catch_up_rows(bench.stream(), rows.arena(), rows.distinct_rows(),
                              rows.distinct_rows(), count, args);
      },
      [&] {
        backend.copy_rows(bench.stream(), before, kept, rows.arena(), rows.distinct_rows(), count);
      });
}

}  // namespace

void add_rows() {
  for (const auto& [name, type] :
       {std::pair{"bf16", FloatType::kBF16}, {"float32", FloatType::kF32}}) {
    for (const std::int64_t width : {1024, 2048, 4096}) {
      add(fmt::format("gather_rows/{}/128_rows/width_{}", name, width),
          [=](benchmark::State& state) { gather(state, width, type); });
    }
    for (const std::int64_t tokens : {4096, 32768}) {
      add(fmt::format("row_backward/{}/width_1024/{}_tokens", name, tokens),
          [=](benchmark::State& state) { backward(state, type, tokens); });
    }
    add(fmt::format("catch_up_rows/{}/width_1024/30_steps", name),
        [=](benchmark::State& state) { catch_up(state, type); });
  }
  add("group_lookups/524288", group);
}

}  // namespace mneme::gpu_benchmark
