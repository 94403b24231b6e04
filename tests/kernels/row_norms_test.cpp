// Squared norms of row gradients, row by row: rows with one look-up beside rows with many, and the
// same bits whatever the chunks.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/kernels/oracle/rows.h"
#include "tests/kernels/row_table.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

struct Case {
  std::int64_t tokens, lookups_per_token, width;
};

std::vector<Case> small_cases() {
  std::vector<Case> all;
  for (const std::int64_t width : {1, 5, 8, 20, 64, 192, 264, 1024, 2501, 4096, 4100})
    all.push_back({20, 6, width});
  return all;
}
// Also so many rows that a block has several of them.
std::vector<Case> cases() {
  std::vector<Case> all = small_cases();
  all.push_back({512, 16, 3});
  all.push_back({2400, 16, 4});
  return all;
}

std::string name_of(const ::testing::TestParamInfo<Case>& info) {
  return fmt::format("t{}_l{}_w{}", info.param.tokens, info.param.lookups_per_token,
                     info.param.width);
}

class RowNorms : public ::testing::TestWithParam<Case> {
 protected:
  std::int64_t count() const { return GetParam().tokens * GetParam().lookups_per_token; }
  // Every eighth look-up has the row of another one, most of the others a row of their own.
  std::vector<kernels::RowId> looked_up() const {
    std::mt19937 engine(21);
    std::vector<kernels::RowId> rows(static_cast<std::size_t>(count()));
    for (std::size_t l = 0; l < rows.size(); ++l) rows[l] = static_cast<kernels::RowId>(l);
    std::shuffle(rows.begin(), rows.end(), engine);
    for (std::size_t l = 0; l < rows.size(); l += 8) {
      rows[l] = rows[(l + engine() % 7 + 1) % rows.size()];
    }
    return rows;
  }
  // Token 1 has no gradient, as where the loss is masked.
  std::vector<float> d_y() const {
    const std::int64_t width = GetParam().width;
    std::vector<float> all = random_floats(GetParam().tokens * width, 22, 1e-2);
    std::fill_n(all.begin() + width, width, 0.0f);
    return all;
  }
  // Of the rows' column groups.
  std::vector<float> norms(kernels::Backend& backend, const std::vector<float>& weights,
                           const std::vector<float>& d_y, std::int64_t chunk) const {
    const auto stream = backend.create_stream();
    const TestLookups lookups(backend, *stream, looked_up(), GetParam().lookups_per_token);
    const Pinned<float> w(backend, weights), gradient(backend, d_y);
    std::vector<float> all;
    for (std::int64_t first = 0; first < lookups.distinct(); first += chunk) {
      const auto these =
          group_norms(backend, *stream,
                      gradient_of(lookups.grouped(), w.data(), gradient.data(), GetParam().width),
                      first, std::min(chunk, lookups.distinct() - first));
      all.insert(all.end(), these.begin(), these.end());
    }
    return all;
  }
  int groups() const {
    return static_cast<int>(
        kernels::ColumnRange::all(static_cast<std::uint32_t>(GetParam().width)).groups());
  }
  // Of the rows that are looked up.
  std::vector<double> expected_norms(const std::vector<float>& weights,
                                     const std::vector<float>& d_y) const {
    const auto rows = looked_up();
    const auto width = static_cast<std::size_t>(GetParam().width);
    const auto gradient =
        oracle::row_gradient(static_cast<std::uint32_t>(count()), GetParam().width, rows, weights,
                             d_y, GetParam().lookups_per_token);
    std::vector<bool> touched(rows.size());
    for (const kernels::RowId row : rows) touched[row] = true;
    std::vector<double> norms;
    for (std::size_t row = 0; row < touched.size(); ++row) {
      if (!touched[row]) continue;
      double norm = 0;
      for (std::size_t c = 0; c < width; ++c) norm += std::pow(gradient[row * width + c], 2);
      norms.push_back(norm);
    }
    return norms;
  }
};

TEST_P(RowNorms, MatchFloat64RowByRow) {
  const auto weights = random_floats(count(), 23);
  const auto expected = expected_norms(weights, d_y());
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    const auto actual = row_norms(norms(shared_backend(test), weights, d_y(), 1 << 30), groups());
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      // Where a row's terms cancel, float32 has an error of the size of the terms.
      ASSERT_NEAR(actual[i], expected[i], 1e-6 * expected[i] + 1e-11) << "row " << i;
    }
  }
}

class RowNormsInChunks : public RowNorms {};

// Chunks of fewer rows than tokens, of as many, and of more.
TEST_P(RowNormsInChunks, HaveTheSameBitsForAnyChunks) {
  const auto weights = random_floats(count(), 23);
  const std::int64_t tokens = GetParam().tokens;
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const auto whole = norms(backend, weights, d_y(), 1 << 30);
    for (const std::int64_t chunk : {tokens / 3, tokens - 1, tokens, tokens + 7}) {
      SCOPED_TRACE(chunk);
      EXPECT_TRUE(norms(backend, weights, d_y(), chunk) == whole);
    }
  }
}

// Squares of a token's gradient that float32 cannot hold, under weights that make them small or 0.
TEST_P(RowNormsInChunks, AreThoseOfTheWeightedGradientWhereItsTokensOverflow) {
  auto weights = random_floats(count(), 23, 1e-22);
  for (std::size_t l = 0; l < weights.size(); l += 3) weights[l] = 0;
  auto large = d_y();
  for (float& x : large) x *= 1e22f;
  const auto expected = expected_norms(weights, large);
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const auto by_group = norms(backend, weights, large, 1 << 30);
    const auto actual = row_norms(by_group, groups());
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(actual[i], expected[i], 1e-6 * expected[i] + 1e-11) << "row " << i;
    }
    EXPECT_TRUE(norms(backend, weights, large, GetParam().tokens - 1) == by_group);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, RowNorms, ::testing::ValuesIn(cases()), name_of);
INSTANTIATE_TEST_SUITE_P(Shapes, RowNormsInChunks, ::testing::ValuesIn(small_cases()), name_of);

}  // namespace
}  // namespace mneme::testing
