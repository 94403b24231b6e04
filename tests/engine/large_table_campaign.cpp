// A row table of ten million rows is rewritten as one base without being held in memory.
#include <gtest/gtest.h>

#include "engine/row_table_file.h"
#include "kernels/machine_memory.h"
#include "tests/io/temporary_directory.h"

namespace mneme::engine {
namespace {

TEST(LargeTable, ABaseOfTenMillionRowsIsRewrittenInFlatMemory) {
  constexpr std::uint64_t kRows = 10'000'000, kDeltas = 4;
  const test::TemporaryDirectory directory;
  const auto disk = io::make_posix_disk();
  // A base of all rows and deltas of every third.
  std::vector<RowTableLink> links;
  for (std::uint64_t part = 0; part <= kDeltas; ++part) {
    const std::string path = directory.file("part-" + std::to_string(part));
    const std::uint64_t step = part == 0 ? 1 : 3;
    const std::uint64_t first = part == 0 ? 0 : part % 3;
    RowTableWriter writer(*disk, path,
                          {.table = 0,
                           .base = part == 0,
                           .next_generation = part + 2,
                           .entries = (kRows - first + step - 1) / step});
    for (std::uint64_t row = first; row < kRows; row += step) {
      writer.append({static_cast<kernels::RowId>(row), static_cast<std::uint32_t>(row), part + 1});
    }
    links.push_back({path, writer.finish()});
  }
  const RowTableChain chain(*disk, 0, links);
  const std::string base = directory.file("base");
  const std::size_t before = kernels::resident_memory_bytes();
  const offload::TableDelta nothing{{}, 9};
  write_row_table_base(*disk, base, 0, chain, offload::TableChanges(nothing));
  EXPECT_LT(kernels::resident_memory_bytes(), before + (std::size_t{4} << 20));

  RowTableReader reader(*disk, base);
  EXPECT_EQ(reader.head(), (RowTableHead{0, true, 9, kRows}));
  std::uint64_t rows = 0, wrong = 0;
  while (const auto entry = reader.next()) {
    // The newest part with the row: 4 and 1 have rows of remainder 1, 2 of 2, 3 of 0.
    const std::uint64_t newest = entry->row % 3 == 1 ? 4 : entry->row % 3 == 2 ? 2 : 3;
    wrong += entry->row != rows || entry->slot != rows || entry->generation != newest + 1 ? 1 : 0;
    ++rows;
  }
  EXPECT_EQ(rows, kRows);
  EXPECT_EQ(wrong, 0u);
}

}  // namespace
}  // namespace mneme::engine
