// Whole rows: records over the bus, copies between slots, values for reading, initial values.
#include <fmt/format.h>

#include <cmath>

#include "tests/gpu_benchmark/row_bench.h"

namespace mneme::gpu_benchmark {
namespace {

using kernels::FloatType;

// Records of 4 GiB altogether in pinned memory, one behind the other, and slots for them in random
// order.
struct RecordBench {
  Bench bench;
  kernels::RecordLayout layout;
  std::int64_t count, record_bytes;
  kernels::RowArena arena;
  std::byte** records;
  const std::uint32_t* slots;

  explicit RecordBench(std::int64_t width)
      : layout{.width = static_cast<std::uint32_t>(width),
               .value_type = FloatType::kBF16,
               .moment_type = FloatType::kBF16},
        record_bytes(static_cast<std::int64_t>(layout.record_bytes())) {
    count = shrunk(std::int64_t{4} << 30) / record_bytes;
    arena = make_arena(bench, layout, count);
    slots = upload_shuffled(bench, count);
    records = bench.pinned<std::byte*>(count);
    auto* const memory = bench.pinned<std::byte>(count * record_bytes);
    for (std::int64_t i = 0; i < count; ++i) records[i] = memory + i * record_bytes;
  }

  double all_bytes() const { return static_cast<double>(count * record_bytes); }
  double device_bytes() const { return static_cast<double>(count) * (row_bytes(layout) + 4); }
};

void unpack(benchmark::State& state, std::int64_t width) {
  RecordBench records(width);
  time_operation(state, records.bench,
                 {.bytes = records.device_bytes(), .bytes_from_host = records.all_bytes()}, [&] {
                   records.bench.backend().unpack_records(records.bench.stream(), records.arena,
                                                          records.records, records.slots,
                                                          records.count);
                 });
}

void pack(benchmark::State& state, std::int64_t width) {
  RecordBench records(width);
  time_operation(state, records.bench,
                 {.bytes = records.device_bytes(), .bytes_to_host = records.all_bytes()}, [&] {
                   records.bench.backend().pack_records(records.bench.stream(), records.arena,
                                                        records.records, records.slots,
                                                        records.count);
                 });
}

constexpr kernels::RecordLayout kLayout{.width = 1024, .value_type = FloatType::kBF16};

void copy(benchmark::State& state) {
  Bench bench;
  const std::int64_t count = shrunk(std::int64_t{1} << 18);
  const kernels::RowArena source = make_arena(bench, kLayout, count);
  const kernels::RowArena target = make_arena(bench, kLayout, count);
  const std::uint32_t* const from = upload_shuffled(bench, count);
  const std::uint32_t* const to = upload_count(bench, count);
  time_operation(
      state, bench, {.bytes = static_cast<double>(count) * (2 * row_bytes(kLayout) + 8)},
      [&] { bench.backend().copy_rows(bench.stream(), source, from, target, to, count); });
}

void read_values(benchmark::State& state) {
  Bench bench;
  const std::int64_t count = shrunk(std::int64_t{1} << 20);
  const kernels::RowArena arena = make_arena(bench, kLayout, count);
  const std::uint32_t* const slots = upload_shuffled(bench, count);
  float* const out = bench.floats(count * kLayout.width);
  const auto numbers = static_cast<double>(count * kLayout.width);
  time_operation(state, bench, {.bytes = numbers * (2 + 4) + static_cast<double>(count) * 4},
                 [&] { bench.backend().read_values(bench.stream(), arena, slots, count, out); });
}

void generate(benchmark::State& state) {
  Bench bench;
  const std::int64_t count = shrunk(std::int64_t{1} << 18);
  const kernels::RowArena arena = make_arena(bench, kLayout, count);
  const std::uint32_t* const rows = upload_count(bench, count);
  const std::uint32_t* const slots = upload_shuffled(bench, count);
  const kernels::RowInit init{
      .seed = 1, .standard_deviation = 1 / std::sqrt(static_cast<float>(kLayout.width))};
  time_operation(
      state, bench, {.bytes = static_cast<double>(count) * (row_bytes(kLayout) + 8)},
      [&] { bench.backend().generate_rows(bench.stream(), arena, rows, slots, count, init); });
}

}  // namespace

void add_records() {
  for (const std::int64_t width : {1024, 2048, 4096}) {
    const std::string size = fmt::format("{}_KiB", width * 6 / 1024);
    add("unpack_records/" + size, [=](benchmark::State& state) { unpack(state, width); });
    add("pack_records/" + size, [=](benchmark::State& state) { pack(state, width); });
  }
  add("copy_rows/256k_of_10_KiB", copy);
  add("read_values/bf16/1M_x_1024", read_values);
  add("generate_rows/bf16/256k_x_1024", generate);
}

}  // namespace mneme::gpu_benchmark
