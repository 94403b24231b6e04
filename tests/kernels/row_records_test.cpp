// Initial values, records and copies of rows.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/kernels/row_table.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

using kernels::FloatType;

struct Case {
  std::uint32_t width;
  FloatType value_type, moment_type;
  bool moments, row_state;
};

class RowRecords : public ::testing::TestWithParam<Case> {
 protected:
  kernels::RecordLayout layout() const {
    const Case& c = GetParam();
    return {.width = c.width,
            .value_type = c.value_type,
            .moment_type = c.moment_type,
            .moments = c.moments,
            .row_state = c.row_state};
  }
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const std::uint32_t width : {1u, 3u, 16u, 100u, 256u}) {
    all.push_back({width, FloatType::kF32, FloatType::kF32, true, false});
    all.push_back({width, FloatType::kBF16, FloatType::kBF16, true, true});
    all.push_back({width, FloatType::kBF16, FloatType::kF32, true, false});
    all.push_back({width, FloatType::kF32, FloatType::kF32, false, true});
  }
  return all;
}

constexpr std::uint32_t kRows = 40;

TEST_P(RowRecords, SurviveTheWayIntoTheArenaAndBack) {
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const auto stream = backend.create_stream();
    const RowTable table(backend, layout(), kRows);
    const auto bytes = static_cast<std::int64_t>(layout().record_bytes());
    const Pinned<std::byte> before(backend, kRows * bytes),
        after(backend, kRows * bytes, std::byte{0xEE});
    std::vector<std::byte*> in, out;
    std::vector<kernels::SlotId> slot_list;
    // The parts of a record that hold something are random, the padding is zero.
    std::mt19937 engine(3);
    for (std::int64_t i = 0; i < kRows; ++i) {
      std::byte* record = before.data() + i * bytes;
      const auto scribble = [&](std::size_t offset, std::size_t size) {
        for (std::size_t b = 0; b < size; ++b) {
          record[offset + b] = static_cast<std::byte>(engine() & 0xff);
        }
      };
      scribble(0, layout().row_state ? 8 : 4);
      scribble(layout().value_offset(), layout().value_bytes());
      scribble(layout().moment1_offset(), layout().moment_bytes());
      scribble(layout().moment2_offset(), layout().moment_bytes());
      in.push_back(record);
      out.push_back(after.data() + i * bytes);
      slot_list.push_back(table.slot_of(static_cast<kernels::RowId>(i)));
    }
    const Pinned<std::byte*> sources(backend, in), targets(backend, out);
    const Pinned<kernels::SlotId> slots(backend, slot_list);
    backend.unpack_records(*stream, table.arena(), sources.data(), slots.data(), kRows);
    backend.pack_records(*stream, table.arena(), targets.data(), slots.data(), kRows);
    stream->synchronize();
    EXPECT_TRUE(before.values() == after.values());
    std::uint32_t last_step = 0;
    std::memcpy(&last_step, before.data(), 4);
    EXPECT_EQ(table.last_step(0), last_step);

    // The same through a second arena, in reverse order of slots.
    const RowTable copy(backend, layout(), kRows);
    std::reverse(slot_list.begin(), slot_list.end());
    const Pinned<kernels::SlotId> reversed(backend, slot_list);
    backend.copy_rows(*stream, table.arena(), slots.data(), copy.arena(), reversed.data(), kRows);
    const Pinned<std::byte> copied(backend, kRows * bytes);
    for (std::int64_t i = 0; i < kRows; ++i) targets[i] = copied.data() + i * bytes;
    backend.pack_records(*stream, copy.arena(), targets.data(), reversed.data(), kRows);
    stream->synchronize();
    EXPECT_TRUE(before.values() == copied.values());
  }
}

TEST_P(RowRecords, ReadAsFloat32WhateverTheirType) {
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const auto stream = backend.create_stream();
    const RowTable table(backend, layout(), kRows);
    table.fill_randomly(4);
    const std::vector<kernels::RowId> rows = {7, 0, 39, 7};
    std::vector<kernels::SlotId> slot_list;
    for (const auto row : rows) slot_list.push_back(table.slot_of(row));
    const Pinned<kernels::SlotId> slots(backend, slot_list);
    const Pinned<float> out(backend, 4 * table.width(), -7.0f);
    backend.read_values(*stream, table.arena(), slots.data(), 4, out.data());
    stream->synchronize();
    for (std::int64_t i = 0; i < 4; ++i) {
      for (std::int64_t c = 0; c < table.width(); ++c) {
        ASSERT_EQ(out[i * table.width() + c], table.value(rows[static_cast<std::size_t>(i)], c));
      }
    }
  }
}

TEST_P(RowRecords, StartAsAPureFunctionOfSeedTableAndRow) {
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const auto stream = backend.create_stream();
    const kernels::RowInit init{
        .seed = 0xfeedface12345678u, .table = 2, .standard_deviation = 0.5f};
    const auto generate = [&](const kernels::RowInit& how, bool backwards) {
      RowTable table(backend, layout(), kRows);
      table.fill_randomly(6);
      std::vector<kernels::RowId> rows(kRows);
      std::iota(rows.begin(), rows.end(), 0u);
      if (backwards) std::reverse(rows.begin(), rows.end());
      std::vector<kernels::SlotId> slot_list;
      for (const auto row : rows) {
        table.last_step(row) = 9;
        slot_list.push_back(table.slot_of(row));
      }
      const Pinned<kernels::RowId> row_ids(backend, rows);
      const Pinned<kernels::SlotId> slots(backend, slot_list);
      backend.generate_rows(*stream, table.arena(), row_ids.data(), slots.data(), kRows, how);
      stream->synchronize();
      for (const auto row : rows) {
        EXPECT_EQ(table.last_step(row), 0u);
        for (std::int64_t c = 0; layout().moments && c < table.width(); ++c) {
          EXPECT_EQ(table.moment1(row, c), 0.0f);
          EXPECT_EQ(table.moment2(row, c), 0.0f);
        }
      }
      return table.bytes();
    };
    const auto bytes = generate(init, false);
    EXPECT_TRUE(generate(init, true) == bytes) << "values depend on the order of rows";
    kernels::RowInit other = init;
    other.table = 3;
    EXPECT_FALSE(generate(other, false) == bytes);
    other = init;
    other.seed ^= std::uint64_t{1} << 40;
    EXPECT_FALSE(generate(other, false) == bytes);
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, RowRecords, ::testing::ValuesIn(cases()), [](const auto& test) {
  return fmt::format("w{}_{}{}{}", test.param.width,
                     test.param.value_type == FloatType::kF32 ? "f32" : "bf16",
                     !test.param.moments                         ? ""
                     : test.param.moment_type == FloatType::kF32 ? "_f32_moments"
                                                                 : "_bf16_moments",
                     test.param.row_state ? "_state" : "");
});

class InitialValues : public ::testing::TestWithParam<TestBackend> {};

// Mean, variance and distribution of 300,000 initial values, and no correlation between neighbours.
TEST_P(InitialValues, AreNormalAndIndependentBetweenColumnsAndRows) {
  kernels::Backend& backend = shared_backend(GetParam());
  const auto stream = backend.create_stream();
  constexpr std::uint32_t kCount = 1200;
  constexpr std::int64_t kWidth = 250;
  const RowTable table(backend, {.width = kWidth, .moments = false}, kCount);
  std::vector<kernels::RowId> rows(kCount);
  std::iota(rows.begin(), rows.end(), 0u);
  std::vector<kernels::SlotId> slot_list;
  for (const auto row : rows) slot_list.push_back(table.slot_of(row));
  const Pinned<kernels::RowId> row_ids(backend, rows);
  const Pinned<kernels::SlotId> slots(backend, slot_list);
  backend.generate_rows(*stream, table.arena(), row_ids.data(), slots.data(), kCount,
                        {.seed = 11, .table = 0, .standard_deviation = 2.0f});
  stream->synchronize();
  std::vector<double> all;
  double next_column = 0, next_row = 0;
  for (kernels::RowId row = 0; row < kCount; ++row) {
    for (std::int64_t c = 0; c < kWidth; ++c) {
      const double x = static_cast<double>(table.value(row, c)) / 2;
      all.push_back(x);
      if (c + 1 < kWidth) next_column += x * static_cast<double>(table.value(row, c + 1)) / 2;
      if (row + 1 < kCount) next_row += x * static_cast<double>(table.value(row + 1, c)) / 2;
    }
  }
  const auto n = static_cast<double>(all.size());
  double mean = 0, square = 0;
  for (const double x : all) {
    mean += x / n;
    square += x * x / n;
  }
  EXPECT_NEAR(mean, 0, 4 / std::sqrt(n));
  EXPECT_NEAR(square, 1, 4 * std::sqrt(2 / n));
  EXPECT_NEAR(next_column / n, 0, 4 / std::sqrt(n));
  EXPECT_NEAR(next_row / n, 0, 4 / std::sqrt(n));
  // Kolmogorov-Smirnov at the 0.1% level.
  std::sort(all.begin(), all.end());
  double distance = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const double expected = 0.5 * std::erfc(-all[i] / std::sqrt(2.0));
    distance = std::max(distance, std::abs(expected - (static_cast<double>(i) + 0.5) / n));
  }
  EXPECT_LE(distance, 1.95 / std::sqrt(n));
}

// A checkpoint leaves untouched rows out, so that every machine must make the same ones.
TEST_P(InitialValues, HaveTheBitsOfTheCpuBackend) {
  const auto cpu = kernels::make_cpu_backend({.threads = 1});
  for (const FloatType type : {FloatType::kF32, FloatType::kBF16}) {
    for (const std::uint32_t width : {1u, 7u, 64u, 500u}) {
      SCOPED_TRACE(width);
      const auto generate = [&](kernels::Backend& backend) {
        const auto stream = backend.create_stream();
        const RowTable table(backend, {.width = width, .value_type = type, .moments = false}, 97);
        std::vector<kernels::RowId> rows;
        std::vector<kernels::SlotId> slot_list;
        for (std::uint32_t i = 0; i < 97; ++i) {
          rows.push_back(i * 0x01234567u);
          slot_list.push_back(table.slot_of(i));
        }
        const Pinned<kernels::RowId> row_ids(backend, rows);
        const Pinned<kernels::SlotId> slots(backend, slot_list);
        backend.generate_rows(
            *stream, table.arena(), row_ids.data(), slots.data(), 97,
            {.seed = 0xabcdef0123456789u, .table = 5, .standard_deviation = 0.02f});
        stream->synchronize();
        return table.bytes();
      };
      EXPECT_TRUE(generate(shared_backend(GetParam())) == generate(*cpu));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, InitialValues, ::testing::ValuesIn(backends_under_test()),
                         backend_name);

}  // namespace
}  // namespace mneme::testing
