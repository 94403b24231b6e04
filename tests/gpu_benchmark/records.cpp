// Whole rows: records over the bus, copies between slots, values for reading, initial values.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "tests/gpu_benchmark/row_bench.h"

namespace mneme::gpu_benchmark {
namespace {

using kernels::FloatType;

// Records of 4 GiB altogether in pinned memory, in pieces of 1 GiB at most, and slots for them;
// records and slots are taken in random order.
struct RecordBench {
  Bench bench;
  kernels::RecordLayout layout;
  std::int64_t count, record_bytes;
  kernels::RowArena arena;
  kernels::HostRecords records;
  const std::uint32_t *record_slots, *slots;

  explicit RecordBench(std::int64_t width)
      : layout(kernels::RecordLayout::of(
            {.columns = kernels::ColumnRange::all(static_cast<std::uint32_t>(width)),
             .value_type = FloatType::kBF16,
             .moment_type = FloatType::kBF16})),
        record_bytes(static_cast<std::int64_t>(layout.record_bytes())) {
    count = shrunk(std::int64_t{4} << 30) / record_bytes / 2 * 2;
    arena = make_arena(bench, layout, count);
    slots = upload_shuffled(bench, count);
    record_slots = upload_shuffled(bench, count);
    records.stride = layout.record_bytes();
    records.piece_shift =
        std::bit_width(static_cast<std::uint64_t>(kPieceBytes / record_bytes)) - 1;
    const std::int64_t in_piece = std::int64_t{1} << records.piece_shift;
    for (std::int64_t piece = 0; piece * in_piece < count; ++piece) {
      const std::int64_t left = std::min(in_piece, count - piece * in_piece);
      records.pieces[piece] = bench.pinned<std::byte>(left * record_bytes);
    }
  }

  // Records `first` .. `first + number` of the lists.
  void unpack(kernels::Stream& stream, std::int64_t first, std::int64_t number) {
    bench.backend().unpack_records(stream, arena, records, record_slots + first, slots + first,
                                   number);
  }
  void pack(kernels::Stream& stream, std::int64_t first, std::int64_t number) {
    bench.backend().pack_records(stream, arena, records, record_slots + first, slots + first,
                                 number);
  }

  double all_bytes() const { return static_cast<double>(count * record_bytes); }
  double device_bytes() const { return static_cast<double>(count) * (row_bytes(layout) + 8); }

 private:
  static constexpr std::int64_t kPieceBytes = std::int64_t{1} << 30;
};

void unpack(benchmark::State& state, std::int64_t width) {
  RecordBench records(width);
  time_operation(state, records.bench,
                 {.bytes = records.device_bytes(), .bytes_from_host = records.all_bytes()},
                 [&] { records.unpack(records.bench.stream(), 0, records.count); });
}

void pack(benchmark::State& state, std::int64_t width) {
  RecordBench records(width);
  time_operation(state, records.bench,
                 {.bytes = records.device_bytes(), .bytes_to_host = records.all_bytes()},
                 [&] { records.pack(records.bench.stream(), 0, records.count); });
}

// Half of the records come while the other half goes.
void both_ways(benchmark::State& state, std::int64_t width) {
  RecordBench records(width);
  Bench& bench = records.bench;
  const std::int64_t half = records.count / 2;
  time_operation(
      state, bench, {.bytes = records.device_bytes(), .bytes_both_ways = records.all_bytes()}, [&] {
        bench.at_once([&] { records.unpack(bench.stream(), 0, half); },
                      [&](kernels::Stream& stream) { records.pack(stream, half, half); });
      });
}

constexpr std::uint32_t kWidth = 1024;
constexpr kernels::RecordLayout kLayout = kernels::RecordLayout::of(
    {.columns = kernels::ColumnRange::all(kWidth), .value_type = FloatType::kBF16});

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
  float* const out = bench.floats(count * kWidth);
  const auto numbers = static_cast<double>(count * kWidth);
  time_operation(state, bench, {.bytes = numbers * (2 + 4) + static_cast<double>(count) * 4},
                 [&] { bench.backend().read_values(bench.stream(), arena, 0, slots, count, out); });
}

void generate(benchmark::State& state) {
  Bench bench;
  const std::int64_t count = shrunk(std::int64_t{1} << 18);
  const kernels::RowArena arena = make_arena(bench, kLayout, count);
  const std::uint32_t* const rows = upload_count(bench, count);
  const std::uint32_t* const slots = upload_shuffled(bench, count);
  const kernels::RowInit init{.seed = 1,
                              .standard_deviation = {1 / std::sqrt(static_cast<float>(kWidth))}};
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
    add("unpack_and_pack_records/" + size,
        [=](benchmark::State& state) { both_ways(state, width); });
  }
  add("copy_rows/256k_of_10_KiB", copy);
  add("read_values/bf16/1M_x_1024", read_values);
  add("generate_rows/bf16/256k_x_1024", generate);
}

}  // namespace mneme::gpu_benchmark
