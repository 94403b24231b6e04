#include <gtest/gtest.h>

#include <map>

#include "tests/kernels/row_table.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

struct Case {
  std::int64_t tokens, lookups_per_token;
  std::uint32_t table_rows;
};

class GroupLookups : public ::testing::TestWithParam<Case> {};

TEST_P(GroupLookups, GivesDistinctRowsTheirLookupsAndEachTokenItsOrder) {
  const auto [tokens, per_token, table_rows] = GetParam();
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const auto stream = backend.create_stream();
    const auto rows = random_rows(tokens, per_token, table_rows, 5);
    const TestLookups lookups(backend, *stream, rows, per_token);
    const kernels::GroupedLookups& grouped = lookups.grouped();

    std::map<kernels::RowId, std::vector<std::uint32_t>> expected;
    for (std::uint32_t l = 0; l < rows.size(); ++l) expected[rows[l]].push_back(l);
    ASSERT_EQ(static_cast<std::size_t>(lookups.distinct()), expected.size());
    std::uint32_t index = 0, offset = 0;
    for (const auto& [row, of_row] : expected) {
      ASSERT_EQ(grouped.unique_rows[index], row);
      ASSERT_EQ(grouped.offsets[index], offset);
      for (const std::uint32_t lookup : of_row) {
        ASSERT_EQ(grouped.order[offset++], lookup);
        ASSERT_EQ(grouped.unique_index[lookup], index);
      }
      ++index;
    }
    ASSERT_EQ(grouped.offsets[index], offset);
    for (std::int64_t t = 0; t < tokens; ++t) {
      std::vector<std::uint32_t> order(static_cast<std::size_t>(per_token));
      std::iota(order.begin(), order.end(), static_cast<std::uint32_t>(t * per_token));
      std::stable_sort(order.begin(), order.end(),
                       [&](auto a, auto b) { return rows[a] < rows[b]; });
      for (std::int64_t j = 0; j < per_token; ++j) {
        ASSERT_EQ(grouped.token_order[t * per_token + j], order[static_cast<std::size_t>(j)]);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, GroupLookups,
                         ::testing::Values(Case{0, 4, 8}, Case{1, 1, 1}, Case{3, 5, 6},
                                           Case{40, 128, 1000}, Case{200, 32, 33},
                                           Case{1000, 1, 50}, Case{3, 1100, 900},
                                           Case{2, 5000, 3000}, Case{7, 300, 100000}));

TEST(GroupLookupsKeys, SortsRowIdsOfTheWholeRange) {
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const auto stream = backend.create_stream();
    const std::vector<kernels::RowId> rows = {0xfffffffdu, 0, 0x80000000u, 0x7fffffffu, 0, 5};
    const TestLookups lookups(backend, *stream, rows, 3);
    ASSERT_EQ(lookups.distinct(), 5);
    const kernels::RowId* unique = lookups.grouped().unique_rows;
    EXPECT_EQ(std::vector<kernels::RowId>(unique, unique + 5),
              (std::vector<kernels::RowId>{0, 5, 0x7fffffffu, 0x80000000u, 0xfffffffdu}));
  }
}

// Keys are sorted digit by digit, and long lists in parts: at every number of digits, of tables
// whose rows just fit and just do not.
TEST(GroupLookupsKeys, SortsManyRowsOfATableOfAnySize) {
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const auto stream = backend.create_stream();
    for (const std::uint64_t table_rows :
         {std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{2048}, std::uint64_t{2049},
          std::uint64_t{1} << 22, (std::uint64_t{1} << 22) + 1, std::uint64_t{1} << 32}) {
      SCOPED_TRACE(table_rows);
      std::mt19937_64 random(table_rows);
      std::vector<kernels::RowId> rows(70'001);
      for (kernels::RowId& row : rows) row = static_cast<kernels::RowId>(random() % table_rows);
      rows[12'345] = static_cast<kernels::RowId>(table_rows - 1);
      const TestLookups lookups(backend, *stream, rows, 1, false, table_rows);
      std::vector<std::uint32_t> order(rows.size());
      std::iota(order.begin(), order.end(), 0u);
      std::stable_sort(order.begin(), order.end(),
                       [&](auto a, auto b) { return rows[a] < rows[b]; });
      EXPECT_TRUE(std::equal(order.begin(), order.end(), lookups.grouped().order));
      std::sort(rows.begin(), rows.end());
      rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
      ASSERT_EQ(static_cast<std::size_t>(lookups.distinct()), rows.size());
      EXPECT_TRUE(std::equal(rows.begin(), rows.end(), lookups.grouped().unique_rows));
    }
  }
}

}  // namespace
}  // namespace mneme::testing
