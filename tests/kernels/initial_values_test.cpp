// The numbers that rows start with.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/kernels/row_table.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

using kernels::FloatType;

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
                        {.seed = 11, .table = 0, .standard_deviation = {2.0f}});
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
            {.seed = 0xabcdef0123456789u, .table = 5, .standard_deviation = {0.02f}});
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
