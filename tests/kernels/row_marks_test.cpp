// A set of rows as bits: what is put in, and the list of it.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "tests/kernels/pinned.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

using kernels::RowId;

// Random distinct rows, ascending.
std::vector<RowId> some_rows(std::uint64_t table_rows, std::size_t most, std::mt19937& engine) {
  std::uniform_int_distribution<RowId> any(0, static_cast<RowId>(table_rows - 1));
  std::set<RowId> rows;
  for (std::size_t i = 0; i < most; ++i) rows.insert(any(engine));
  return {rows.begin(), rows.end()};
}

class RowMarksTest : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(RowMarksTest, HoldEachRowOnceInAscendingOrder) {
  const std::uint64_t table_rows = GetParam();
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const auto stream = backend.create_stream();
    kernels::RowMarks marks{.table_rows = table_rows};
    const Pinned<std::uint32_t> words(backend, marks.word_count(), 0u);
    marks.words = words.data();
    const Pinned<RowId> listed(backend, static_cast<std::int64_t>(table_rows));
    const Pinned<std::uint64_t> number(backend, 1, std::uint64_t{99});
    std::set<RowId> expected;
    const auto expect_listed = [&] {
      backend.list_marked_rows(*stream, marks, listed.data(), number.data());
      stream->synchronize();
      ASSERT_EQ(number[0], expected.size());
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), listed.data()));
    };
    expect_listed();
    std::mt19937 engine(5);
    for (const std::size_t most : {std::size_t{0}, std::size_t{1}, std::size_t{40},
                                   std::size_t{700}, 2 * static_cast<std::size_t>(table_rows)}) {
      const std::vector<RowId> more =
          most == 0 ? std::vector<RowId>{} : some_rows(table_rows, most, engine);
      const auto count = static_cast<std::int64_t>(more.size());
      const Pinned<RowId> rows(backend, more);
      const Pinned<std::uint8_t> is_new(backend, std::max<std::int64_t>(1, count), std::uint8_t{7});
      backend.mark_rows(*stream, marks, rows.data(), count, is_new.data());
      stream->synchronize();
      for (std::int64_t i = 0; i < count; ++i) {
        const bool was_new = expected.insert(more[static_cast<std::size_t>(i)]).second;
        ASSERT_EQ(is_new[i], was_new ? 1 : 0) << "row " << more[static_cast<std::size_t>(i)];
      }
      expect_listed();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(TableRows, RowMarksTest,
                         ::testing::Values(1u, 31u, 32u, 33u, 1000u, 4096u),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace mneme::testing
