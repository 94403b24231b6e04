// Row gradients and the optimisers' steps against float64, and bit for bit whatever the chunks.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/kernels/oracle/rows.h"
#include "tests/kernels/row_table.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

using kernels::FloatType;
using kernels::RowOptimizerKind;

constexpr std::uint32_t kRows = 130;
constexpr std::int64_t kTokens = 7, kPerToken = 24;
constexpr std::uint64_t kStep = 5;
constexpr float kClip = 0.37f;

struct Case {
  RowOptimizerKind kind;
  FloatType value_type, moment_type;
  std::int64_t width;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const std::int64_t width : {1, 3, 8, 16, 20, 100, 256}) {
    for (const auto kind : {RowOptimizerKind::kAdamW, RowOptimizerKind::kAdamWLazy,
                            RowOptimizerKind::kAdagradRowwise, RowOptimizerKind::kSgd}) {
      all.push_back({kind, FloatType::kF32, FloatType::kF32, width});
    }
    all.push_back({RowOptimizerKind::kAdamW, FloatType::kBF16, FloatType::kF32, width});
    all.push_back({RowOptimizerKind::kAdamW, FloatType::kBF16, FloatType::kBF16, width});
    all.push_back({RowOptimizerKind::kSgd, FloatType::kBF16, FloatType::kF32, width});
  }
  return all;
}

std::string name_of(const ::testing::TestParamInfo<Case>& info) {
  return fmt::format("kind{}_w{}_{}{}", static_cast<int>(info.param.kind), info.param.width,
                     info.param.value_type == FloatType::kF32 ? "f32" : "bf16",
                     info.param.moment_type == FloatType::kF32 ? "" : "_bf16_moments");
}

OnePart layout_of(const Case& shape) {
  const bool adam =
      shape.kind == RowOptimizerKind::kAdamW || shape.kind == RowOptimizerKind::kAdamWLazy;
  return {.width = static_cast<std::uint32_t>(shape.width),
          .value_type = shape.value_type,
          .moment_type = shape.moment_type,
          .moments = adam,
          .sum = shape.kind == RowOptimizerKind::kAdagradRowwise};
}

kernels::RowUpdateArgs update_args(RowOptimizerKind kind) {
  return {.kind = kind,
          .step = kStep,
          .learning_rate = 0.02,
          .weight_decay = 0.1,
          .seed = 0x123456789abcdefu};
}

std::vector<kernels::RowId> looked_up() {
  return random_rows(kTokens, kPerToken, kRows, 9);
}
std::vector<float> weights() {
  return random_floats(kTokens * kPerToken, 10);
}
std::vector<float> d_y(std::int64_t width) {
  return random_floats(kTokens * width, 11, 1e-2);
}

struct Results {
  std::vector<std::byte> table;
  std::vector<float> norms;
};

// Updates `table` in chunks of distinct rows.
Results run(kernels::Backend& backend, const Case& shape, const RowTable& table,
            std::int64_t chunk) {
  const auto stream = backend.create_stream();
  const TestLookups lookups(backend, *stream, looked_up(), kPerToken);
  const Pinned<float> w(backend, weights()), gradient(backend, d_y(shape.width));
  const Pinned<float> clip(backend, 1, kClip);
  std::vector<float> norms;
  Pinned<kernels::SlotId> slots(backend, lookups.distinct());
  const kernels::RowGradient row_gradient =
      gradient_of(lookups.grouped(), w.data(), gradient.data(), shape.width);
  kernels::RowUpdateArgs args = update_args(shape.kind);
  args.grad_scale = clip.data();
  for (std::int64_t first = 0; first < lookups.distinct(); first += chunk) {
    const std::int64_t count = std::min(chunk, lookups.distinct() - first);
    for (std::int64_t i = 0; i < count; ++i) {
      slots[i] = table.slot_of(lookups.grouped().unique_rows[first + i]);
    }
    const auto these = group_norms(backend, *stream, row_gradient, first, count);
    norms.insert(norms.end(), these.begin(), these.end());
    backend.update_rows(*stream, table.arena(), slots.data(), row_gradient, first, count, args);
    stream->synchronize();
  }
  return {table.bytes(), norms};
}

RowTable make_table(kernels::Backend& backend, const Case& shape) {
  RowTable table(backend, layout_of(shape), kRows);
  table.fill_randomly(12);
  for (kernels::RowId row = 0; row < kRows; ++row) {
    table.last_step(row) = kStep - 1;
    table.sum(row) = 1e-4f * static_cast<float>(row + 1);
  }
  return table;
}

class RowUpdate : public ::testing::TestWithParam<Case> {};

TEST_P(RowUpdate, MatchesFloat64AndTouchesNoOtherRow) {
  const Case shape = GetParam();
  const auto rows = looked_up();
  const auto gradient =
      oracle::row_gradient(kRows, shape.width, rows, weights(), d_y(shape.width), kPerToken);
  const kernels::RowUpdateArgs args = update_args(shape.kind);
  const auto width = static_cast<std::size_t>(shape.width);
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const RowTable before = make_table(backend, shape), table = make_table(backend, shape);
    const Results results = run(backend, shape, table, 1 << 30);
    const auto groups = kernels::ColumnRange::all(static_cast<std::uint32_t>(shape.width)).groups();
    const auto norms = row_norms(results.norms, static_cast<int>(groups));
    std::vector<double> expected_norms, change, expected_change;
    for (kernels::RowId row = 0; row < kRows; ++row) {
      const bool touched = std::find(rows.begin(), rows.end(), row) != rows.end();
      double norm = 0;
      for (std::size_t c = 0; c < width; ++c) norm += std::pow(gradient[row * width + c], 2);
      double state = before.sum(row);
      if (touched) {
        expected_norms.push_back(norm);
        state += norm * kClip * kClip / static_cast<double>(width);
      }
      ASSERT_EQ(table.last_step(row), touched ? kStep : kStep - 1) << "row " << row;
      if (shape.kind == RowOptimizerKind::kAdagradRowwise) {
        ASSERT_NEAR(table.sum(row), state, 1e-5 * state);
      }
      for (std::int64_t c = 0; c < shape.width; ++c) {
        oracle::AdamWElement element{before.value(row, c), 0, 0};
        if (before.layout().moments) {
          element.moment1 = before.moment1(row, c);
          element.moment2 = before.moment2(row, c);
        }
        const double g = gradient[row * width + static_cast<std::size_t>(c)] * kClip;
        if (!touched) {
          ASSERT_EQ(table.value(row, c), before.value(row, c)) << "row " << row;
          continue;
        }
        if (before.layout().moments) {
          element.step(kStep, g, args);
          const double loose = shape.moment_type == FloatType::kF32 ? 1e-5 : 1e-2;
          ASSERT_NEAR(table.moment1(row, c), element.moment1,
                      loose * (std::abs(element.moment1) + 1e-4));
          ASSERT_NEAR(table.moment2(row, c), element.moment2, loose * element.moment2);
        } else {
          const double rate = shape.kind == RowOptimizerKind::kSgd
                                  ? args.learning_rate
                                  : args.learning_rate / (std::sqrt(state) + args.epsilon);
          element.value = element.value * (1 - args.learning_rate * args.weight_decay) - rate * g;
        }
        expected_change.push_back(element.value - before.value(row, c));
        change.push_back(static_cast<double>(table.value(row, c)) - before.value(row, c));
        // Stochastic rounding moves by less than one bf16 step, 2^-7 of the value.
        if (shape.value_type == FloatType::kBF16) {
          ASSERT_NEAR(table.value(row, c), element.value, std::abs(element.value) / 127);
        }
      }
    }
    EXPECT_LE(relative_error(norms, expected_norms), 1e-5);
    if (shape.value_type == FloatType::kF32) {
      EXPECT_LE(relative_error(change, expected_change), 2e-5);
    }
  }
}

TEST_P(RowUpdate, GivesTheSameBitsForAnyChunksAndThreads) {
  const Case shape = GetParam();
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const Results whole = run(backend, shape, make_table(backend, shape), 1 << 30);
    for (const std::int64_t chunk : {1, 13}) {
      SCOPED_TRACE(chunk);
      const Results split = run(backend, shape, make_table(backend, shape), chunk);
      EXPECT_TRUE(split.table == whole.table);
      EXPECT_TRUE(split.norms == whole.norms);
    }
    if (!test.has_threads) continue;
    const auto single = test.make({.threads = 1});
    EXPECT_TRUE(run(*single, shape, make_table(*single, shape), 1 << 30).table == whole.table);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, RowUpdate, ::testing::ValuesIn(cases()), name_of);

class RowRounding : public ::testing::TestWithParam<TestBackend> {};

// The step's gradient is zero and its decay pulls each value a third of a bf16 step towards zero:
// the mean over many columns must move by that third.
TEST_P(RowRounding, KeepsTheMeanOfManySmallSteps) {
  kernels::Backend& backend = shared_backend(GetParam());
  const auto stream = backend.create_stream();
  constexpr std::int64_t kWidth = 4096;
  const RowTable table(backend, {.width = kWidth, .value_type = FloatType::kBF16, .moments = false},
                       2);
  for (std::int64_t c = 0; c < kWidth; ++c) table.set_value(0, c, 1.5);
  const TestLookups lookups(backend, *stream, {0}, 1);
  const Pinned<float> w(backend, 1, 1.0f), gradient(backend, kWidth, 0.0f);
  const Pinned<kernels::SlotId> slots(backend, 1, table.slot_of(0));
  const double decay = 1.0 / 128 / 3 / 1.5;  // of 1.5, a third of the bf16 step 2^-7
  kernels::RowUpdateArgs args{.kind = RowOptimizerKind::kSgd,
                              .step = 1,
                              .learning_rate = 1,
                              .weight_decay = decay,
                              .seed = 3};
  backend.update_rows(*stream, table.arena(), slots.data(),
                      gradient_of(lookups.grouped(), w.data(), gradient.data(), kWidth), 0, 1,
                      args);
  stream->synchronize();
  double sum = 0;
  std::int64_t moved = 0;
  for (std::int64_t c = 0; c < kWidth; ++c) {
    sum += table.value(0, c);
    moved += table.value(0, c) != 1.5f ? 1 : 0;
  }
  // Four standard deviations of the mean of 4096 draws.
  EXPECT_NEAR(sum / kWidth, 1.5 * (1 - decay), 4 * 0.5 / 128 / std::sqrt(double{kWidth}));
  EXPECT_NEAR(static_cast<double>(moved) / kWidth, 1.0 / 3, 0.03);
}

INSTANTIATE_TEST_SUITE_P(Backends, RowRounding, ::testing::ValuesIn(backends_under_test()),
                         backend_name);

class RowUpdateDeathTest : public ::testing::TestWithParam<TestBackend> {};

TEST_P(RowUpdateDeathTest, AdamWRefusesRowsThatAreNotCurrent) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto update_stale_rows = [] {
    kernels::Backend& backend = shared_backend(GetParam());
    const Case shape{RowOptimizerKind::kAdamW, FloatType::kF32, FloatType::kF32, 8};
    const RowTable table = make_table(backend, shape);
    for (kernels::RowId row = 0; row < kRows; ++row) table.last_step(row) = kStep - 2;
    run(backend, shape, table, 1 << 30);
  };
  EXPECT_DEATH(update_stale_rows(), "is current for step 3, updated in step 5");
}

INSTANTIATE_TEST_SUITE_P(Backends, RowUpdateDeathTest, ::testing::ValuesIn(backends_under_test()),
                         backend_name);

}  // namespace
}  // namespace mneme::testing
