// One row that every token looks up, among rows that few do: its sums run over all tokens, in one
// order whatever the split of rows into chunks.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/kernels/oracle/rows.h"
#include "tests/kernels/row_table.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

using kernels::RowId;

constexpr std::int64_t kTokens = 3000, kPerToken = 2;
constexpr std::uint32_t kRows = 500;
constexpr RowId kPopular = 17;

struct Case {
  TestBackend backend;
  std::int64_t width;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const TestBackend& backend : backends_under_test()) {
    for (const std::int64_t width : {1, 12, 64, 136}) all.push_back({backend, width});
  }
  return all;
}

std::vector<RowId> lookup_rows() {
  std::vector<RowId> rows;
  for (std::int64_t t = 0; t < kTokens; ++t) {
    const auto other = static_cast<RowId>(t * 37 % kRows);
    rows.push_back(kPopular);
    rows.push_back(other == kPopular ? other + 1 : other);
  }
  return rows;
}

struct Results {
  std::vector<float> y, d_weights, norms;
  std::vector<std::byte> table;
};

class PopularRow : public ::testing::TestWithParam<Case> {
 protected:
  const std::int64_t width_ = GetParam().width;
  const std::vector<RowId> rows_ = lookup_rows();
  const std::vector<float> weights_ = random_floats(kTokens * kPerToken, 2);
  const std::vector<float> d_y_ = random_floats(kTokens * width_, 3, 1e-2);
  kernels::Backend& backend_ = shared_backend(GetParam().backend);

  RowTable make_table() {
    RowTable table(backend_, {.width = static_cast<std::uint32_t>(width_)}, kRows);
    table.fill_randomly(1);
    return table;
  }

  // Gather, its backward, norms and an optimiser step of `table`, by chunks of distinct rows.
  Results run(const RowTable& table, std::int64_t chunk) {
    const auto stream = backend_.create_stream();
    const TestLookups lookups(backend_, *stream, rows_, kPerToken);
    const Pinned<float> weights(backend_, weights_), d_y(backend_, d_y_);
    const Pinned<float> y(backend_, kTokens * width_), d_weights(backend_, kTokens * kPerToken);
    const Pinned<float> scale(backend_, 1, 1.0f);
    std::vector<float> norms;
    const kernels::RowGradient gradient =
        gradient_of(lookups.grouped(), weights.data(), d_y.data(), width_);
    std::vector<kernels::SlotId> all_slots;
    for (std::int64_t i = 0; i < lookups.distinct(); ++i) {
      all_slots.push_back(table.slot_of(lookups.grouped().unique_rows[i]));
    }
    const Pinned<kernels::SlotId> slots(backend_, all_slots);
    const auto in_chunks = [&](const auto& body) {
      for (std::int64_t first = 0; first < lookups.distinct(); first += chunk) {
        body(first, std::min(chunk, lookups.distinct() - first));
      }
      stream->synchronize();
    };
    in_chunks([&](std::int64_t first, std::int64_t count) {
      backend_.gather_rows(*stream, table.arena(),
                           {.grouped = lookups.grouped(),
                            .weights = weights.data(),
                            .slots = slots.data() + first,
                            .first = first,
                            .count = count,
                            .y = y.data()});
      backend_.lookup_dot(*stream, table.arena(),
                          {.grouped = lookups.grouped(),
                           .d_y = d_y.data(),
                           .slots = slots.data() + first,
                           .first = first,
                           .count = count,
                           .d_weights = d_weights.data()});
    });
    in_chunks([&](std::int64_t first, std::int64_t count) {
      const auto these = group_norms(backend_, *stream, gradient, first, count);
      norms.insert(norms.end(), these.begin(), these.end());
      backend_.update_rows(*stream, table.arena(), slots.data() + first, gradient, first, count,
                           {.step = 1, .learning_rate = 0.02, .grad_scale = scale.data()});
    });
    return {y.values(), d_weights.values(), norms, table.bytes()};
  }
};

TEST_P(PopularRow, HasTheSumsOfFloat64) {
  const RowTable table = make_table(), before = make_table();
  const Results results = run(table, kRows);
  const auto as_double = [](const std::vector<float>& x) {
    return std::vector<double>(x.begin(), x.end());
  };
  EXPECT_LE(
      relative_error(as_double(results.y), oracle::gather(before, rows_, weights_, kPerToken, 0)),
      1e-6);
  EXPECT_LE(relative_error(as_double(results.d_weights),
                           oracle::lookup_dot(before, rows_, d_y_, kPerToken)),
            1e-6);
  const auto gradient = oracle::row_gradient(kRows, width_, rows_, weights_, d_y_, kPerToken);
  std::vector<double> norms, moved, expected;
  for (RowId row = 0; row < kRows; ++row) {
    double norm = 0;
    for (std::int64_t c = 0; c < width_; ++c) {
      const double g = gradient[static_cast<std::size_t>(row * width_ + c)];
      norm += g * g;
      // At the first step the moment holds (1 - beta1) of the gradient besides what was there.
      moved.push_back(table.moment1(row, c) - 0.9 * before.moment1(row, c));
      expected.push_back(0.1 * g);
    }
    norms.push_back(norm);
  }
  const auto groups = kernels::ColumnRange::all(static_cast<std::uint32_t>(width_)).groups();
  EXPECT_LE(relative_error(row_norms(results.norms, static_cast<int>(groups)), norms), 1e-5);
  EXPECT_LE(relative_error(moved, expected), 1e-4);
}

TEST_P(PopularRow, GivesTheSameBitsForAnyChunks) {
  const Results whole = run(make_table(), kRows);
  for (const std::int64_t chunk : {61, 230}) {
    SCOPED_TRACE(chunk);
    const Results split = run(make_table(), chunk);
    EXPECT_TRUE(split.y == whole.y);
    EXPECT_TRUE(split.d_weights == whole.d_weights);
    EXPECT_TRUE(split.norms == whole.norms);
    EXPECT_TRUE(split.table == whole.table);
  }
}

INSTANTIATE_TEST_SUITE_P(Widths, PopularRow, ::testing::ValuesIn(cases()), [](const auto& test) {
  return fmt::format("w{}_{}", test.param.width, test.param.backend.name);
});

}  // namespace
}  // namespace mneme::testing
