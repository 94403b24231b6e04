// Gather and its backward against float64, and bit for bit whatever the split into chunks.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/kernels/oracle/rows.h"
#include "tests/kernels/row_table.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

using kernels::FloatType;

struct Case {
  std::int64_t tokens, lookups_per_token, width;
  FloatType type;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const std::int64_t width : {1, 3, 8, 12, 16, 20, 24, 100, 256, 1024}) {
    all.push_back({5, 6, width, FloatType::kF32});
    all.push_back({5, 6, width, FloatType::kBF16});
  }
  all.push_back({33, 40, 64, FloatType::kF32});
  all.push_back({3, 300, 80, FloatType::kF32});
  return all;
}

std::string name_of(const ::testing::TestParamInfo<Case>& info) {
  return fmt::format("t{}_l{}_w{}_{}", info.param.tokens, info.param.lookups_per_token,
                     info.param.width, info.param.type == FloatType::kF32 ? "f32" : "bf16");
}

constexpr std::uint32_t kRows = 640;

// One forward and backward with the distinct rows cut into chunks of the given size.
struct Results {
  std::vector<float> y, d_weights;
};
Results run(kernels::Backend& backend, const Case& shape, std::int64_t chunk, bool token_order) {
  const auto stream = backend.create_stream();
  const RowTable table(backend,
                       {.width = static_cast<std::uint32_t>(shape.width),
                        .value_type = shape.type,
                        .moments = false},
                       kRows);
  table.fill_randomly(1);
  const auto rows = random_rows(shape.tokens, shape.lookups_per_token, kRows, 2);
  const TestLookups lookups(backend, *stream, rows, shape.lookups_per_token, token_order);
  const TestLookups ordered(backend, *stream, rows, shape.lookups_per_token);
  const Pinned<float> weights(backend, random_floats(lookups.lookups(), 3));
  const Pinned<float> d_y(backend, random_floats(shape.tokens * shape.width, 4));
  const Pinned<float> y(backend, shape.tokens * shape.width, 0.5f);
  const Pinned<float> d_weights(backend, lookups.lookups(), -1.0f);
  Pinned<kernels::SlotId> slots(backend, lookups.distinct());
  for (std::int64_t first = 0; first < lookups.distinct(); first += chunk) {
    const std::int64_t count = std::min(chunk, lookups.distinct() - first);
    // Only the chunk's slots are known while it is worked on.
    for (std::int64_t i = 0; i < count; ++i) {
      slots[i] = table.slot_of(lookups.grouped().unique_rows[first + i]);
    }
    backend.gather_rows(*stream, table.arena(),
                        {.grouped = ordered.grouped(),
                         .weights = weights.data(),
                         .slots = slots.data(),
                         .first = first,
                         .count = count,
                         .y = y.data()});
    backend.lookup_dot(*stream, table.arena(),
                       {.grouped = lookups.grouped(),
                        .d_y = d_y.data(),
                        .slots = slots.data(),
                        .first = first,
                        .count = count,
                        .d_weights = d_weights.data()});
    stream->synchronize();
  }
  return {y.values(), d_weights.values()};
}

class GatherAndDot : public ::testing::TestWithParam<Case> {};

TEST_P(GatherAndDot, MatchFloat64) {
  const Case shape = GetParam();
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const Results actual = run(backend, shape, 1 << 30, true);
    const RowTable table(backend,
                         {.width = static_cast<std::uint32_t>(shape.width),
                          .value_type = shape.type,
                          .moments = false},
                         kRows);
    table.fill_randomly(1);
    const auto rows = random_rows(shape.tokens, shape.lookups_per_token, kRows, 2);
    const std::int64_t lookups = shape.tokens * shape.lookups_per_token;
    const auto y =
        oracle::gather(table, rows, random_floats(lookups, 3), shape.lookups_per_token, 0.5);
    const auto d_weights = oracle::lookup_dot(
        table, rows, random_floats(shape.tokens * shape.width, 4), shape.lookups_per_token);
    EXPECT_LE(relative_error({actual.y.begin(), actual.y.end()}, y), 1e-6);
    EXPECT_LE(relative_error({actual.d_weights.begin(), actual.d_weights.end()}, d_weights), 1e-6);
  }
}

TEST_P(GatherAndDot, GiveTheSameBitsForAnyChunksThreadsAndOrder) {
  const Case shape = GetParam();
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const Results whole = run(backend, shape, 1 << 30, true);
    for (const std::int64_t chunk : {1, 7, 100}) {
      SCOPED_TRACE(chunk);
      if (chunk == 1 && shape.tokens * shape.lookups_per_token > 1000) continue;  // slow
      const Results split = run(backend, shape, chunk, true);
      EXPECT_TRUE(split.y == whole.y);
      EXPECT_TRUE(split.d_weights == whole.d_weights);
    }
    EXPECT_TRUE(run(backend, shape, 100, false).d_weights == whole.d_weights);
    if (!test.has_threads) continue;
    const Results one = run(*test.make({.threads = 1}), shape, 1 << 30, true);
    EXPECT_TRUE(one.y == whole.y);
    EXPECT_TRUE(one.d_weights == whole.d_weights);
  }
}

// The weights' gradient is that of <y, d_y>.
TEST_P(GatherAndDot, DotIsTheGradientOfGather) {
  const Case shape = GetParam();
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const RowTable table(backend,
                         {.width = static_cast<std::uint32_t>(shape.width),
                          .value_type = shape.type,
                          .moments = false},
                         kRows);
    table.fill_randomly(1);
    const auto rows = random_rows(shape.tokens, shape.lookups_per_token, kRows, 2);
    const std::int64_t lookups = shape.tokens * shape.lookups_per_token;
    const auto d_y = random_floats(shape.tokens * shape.width, 4);
    const auto weights = random_floats(lookups, 3);
    const Results actual = run(backend, shape, 1 << 30, true);
    const auto loss = [&](std::size_t lookup, double delta) {
      std::vector<float> moved = weights;
      moved[lookup] = static_cast<float>(moved[lookup] + delta);
      const auto y = oracle::gather(table, rows, moved, shape.lookups_per_token, 0.5);
      double sum = 0;
      for (std::size_t i = 0; i < y.size(); ++i) sum += y[i] * static_cast<double>(d_y[i]);
      return std::pair{sum, static_cast<double>(moved[lookup])};
    };
    for (std::size_t lookup = 0; lookup < weights.size(); lookup += weights.size() / 5 + 1) {
      SCOPED_TRACE(lookup);
      const auto [above, high] = loss(lookup, 0.5);
      const auto [below, low] = loss(lookup, -0.5);
      EXPECT_NEAR(actual.d_weights[lookup], (above - below) / (high - low),
                  1e-4 * std::sqrt(static_cast<double>(shape.width)));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, GatherAndDot, ::testing::ValuesIn(cases()), name_of);

}  // namespace
}  // namespace mneme::testing
