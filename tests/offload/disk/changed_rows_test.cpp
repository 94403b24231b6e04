// What a flush reports, and that remembering it takes memory for rows, not for writes.
#include "offload/disk/changed_rows.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

#include "kernels/machine_memory.h"
#include "tests/offload/store_run.h"
#include "tests/support/test_backend.h"

namespace mneme::offload {
namespace {

using kernels::RowId;

std::vector<RowId> rows_of(const RowSet& set) {
  std::vector<RowId> rows;
  set.for_each([&](RowId row) { rows.push_back(row); });
  EXPECT_EQ(rows.size(), set.count());
  return rows;
}

// The same, a few at a time.
std::vector<RowId> listed(const RowSet& set) {
  std::vector<RowId> rows, some(7);
  for (std::uint64_t first = 0;;) {
    const std::size_t count = set.list(first, some);
    if (count == 0) return rows;
    rows.insert(rows.end(), some.begin(), some.begin() + std::ptrdiff_t(count));
    first = std::uint64_t{rows.back()} + 1;
  }
}

TEST(RowSet, HoldsEachRowOnceAscendingUntilCleared) {
  std::mt19937_64 random(5);
  // One word, a level above it, two; and the most rows that a table can have.
  for (const std::uint64_t rows :
       {std::uint64_t{1}, std::uint64_t{64}, std::uint64_t{65}, std::uint64_t{4097},
        std::uint64_t{1} << 20, (std::uint64_t{1} << 32) - 1}) {
    SCOPED_TRACE(rows);
    RowSet set(rows);
    for (int round = 0; round < 3; ++round) {
      EXPECT_TRUE(rows_of(set).empty());
      std::set<RowId> expected = {0, static_cast<RowId>(rows - 1)};
      for (int i = 0; i < 2000; ++i) expected.insert(static_cast<RowId>(random() % rows));
      for (const RowId row : expected) set.insert(row);
      for (const RowId row : expected) set.insert(row);
      EXPECT_EQ(rows_of(set), std::vector<RowId>(expected.begin(), expected.end()));
      EXPECT_EQ(listed(set), rows_of(set));
      std::set<RowId> left;
      for (const RowId row : expected) {
        EXPECT_TRUE(set.contains(row));
        if (random() % 2 == 0) {
          left.insert(row);
          continue;
        }
        EXPECT_TRUE(set.erase(row));
        EXPECT_FALSE(set.contains(row));
        EXPECT_FALSE(set.erase(row));
      }
      EXPECT_EQ(rows_of(set), std::vector<RowId>(left.begin(), left.end()));
      EXPECT_EQ(listed(set), rows_of(set));
      set.clear();
    }
  }
}

TEST(ChangedRows, AreReportedUntilACheckpointHoldsThem) {
  using Rows = std::vector<RowId>;
  ChangedRows changed(100);
  EXPECT_EQ(rows_of(changed.report()), Rows{});
  changed.commit();
  changed.note(7);
  changed.note(3);
  changed.note(7);
  EXPECT_EQ(rows_of(changed.report()), (Rows{3, 7}));
  // That flush led to no checkpoint.
  changed.note(9);
  changed.note(7);
  EXPECT_EQ(rows_of(changed.report()), (Rows{3, 7, 9}));
  // Between the flush and the commit: not in the checkpoint, though 7 was reported before.
  changed.note(7);
  changed.note(50);
  changed.commit();
  EXPECT_EQ(rows_of(changed.report()), (Rows{7, 50}));
  changed.commit();
  EXPECT_EQ(rows_of(changed.report()), Rows{});
}

TEST(ChangedRows, TakeNoMoreMemoryHoweverOftenRowsChange) {
  constexpr std::uint64_t kRows = 10000;
  ChangedRows changed(kRows);
  std::mt19937_64 random(7);
  const auto note = [&](int times) {
    for (int i = 0; i < times; ++i) changed.note(static_cast<RowId>(random() % kRows));
  };
  note(100000);
  const std::size_t before = kernels::resident_memory_bytes();
  note(1000000);
  EXPECT_LT(kernels::resident_memory_bytes(), before + (1 << 20));
  EXPECT_LE(changed.report().count(), kRows);
}

}  // namespace
}  // namespace mneme::offload
