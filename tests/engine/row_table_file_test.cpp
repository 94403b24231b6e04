// Row table files: what is refused, and how a chain of them is one table.
#include "engine/row_table_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>

#include "io/checksum.h"
#include "io/error.h"
#include "tests/engine/row_table_support.h"
#include "tests/simulated_disk/simulated_disk.h"

namespace mneme::engine {
namespace {

using offload::TableEntry;
using testing::Entries;
using testing::read_row_table;
using testing::write_row_table;

class RowTableFile : public ::testing::Test {
 protected:
  std::string error_of(const std::string& path) {
    try {
      read_row_table(disk_, path);
    } catch (const io::Error& error) {
      return error.what();
    }
    return {};
  }

  std::vector<std::byte> bytes(const std::string& path) { return disk_.read_file(path, 1 << 24); }
  // With the checksum that belongs to them.
  void write_sealed(const std::string& path, std::vector<std::byte> content) {
    const std::uint64_t sum = io::checksum64(std::span(content).first(content.size() - 8));
    std::memcpy(content.data() + content.size() - 8, &sum, 8);
    disk_.write_file(path, content);
  }

  static Entries as_entries(const std::map<kernels::RowId, TableEntry>& table) {
    Entries entries;
    for (const auto& [row, entry] : table) entries.push_back(entry);
    return entries;
  }

  io::SimulatedDisk disk_{{.record_log = false}};
};

TEST_F(RowTableFile, SurvivesNothingButItself) {
  const Entries entries = {{1, 5, 9}, {4, 2, 10}, {9, 0, 11}};
  write_row_table(disk_, "/t", {.table = 3, .base = true, .next_generation = 77}, entries);
  const std::vector<std::byte> whole = bytes("/t");
  EXPECT_EQ(whole.size(), kRowTableFileOverhead + 3 * kRowTableEntryBytes);
  EXPECT_EQ(read_row_table(disk_, "/t"), entries);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::vector<std::byte> damaged = whole;
    damaged[i] ^= std::byte{1};
    disk_.write_file("/damaged", damaged);
    EXPECT_NE(error_of("/damaged").find("/damaged"), std::string::npos) << i;
    disk_.write_file("/cut", std::span(whole).first(i));
    EXPECT_NE(error_of("/cut").find("/cut"), std::string::npos) << i;
  }
}

TEST_F(RowTableFile, IsRefusedForWhatNoWriterWritesThoughItsChecksumIsRight) {
  write_row_table(disk_, "/t", {.table = 3, .base = true}, {{1, 5, 9}, {4, 2, 10}, {9, 0, 11}});
  const auto with = [&](std::size_t offset, std::uint8_t value) {
    std::vector<std::byte> content = bytes("/t");
    content[offset] = std::byte{value};
    write_sealed("/t2", content);
    return error_of("/t2");
  };
  EXPECT_NE(with(0, 'm').find("magic"), std::string::npos);
  EXPECT_NE(with(8, 2).find("version"), std::string::npos);
  EXPECT_NE(with(32, 2).find("length"), std::string::npos);
  EXPECT_NE(with(39, 0xff).find("length"), std::string::npos);
  EXPECT_NE(with(40 + 16, 1).find("order"), std::string::npos) << "a row twice";
  EXPECT_NE(with(40 + 16, 0).find("order"), std::string::npos);
  EXPECT_EQ(with(40 + 16, 5), "");
}

// Large enough for many buffers of every file.
TEST_F(RowTableFile, OfAChainMakesOneTableInWhichTheNewestEntryOfARowCounts) {
  std::mt19937_64 random(9);
  std::map<kernels::RowId, TableEntry> expected;
  std::uint64_t generation = 0;
  const auto change = [&](std::size_t count) {
    std::map<kernels::RowId, TableEntry> changed;
    while (changed.size() < count) {
      const auto row = static_cast<kernels::RowId>(random() % 60000);
      changed[row] = {row, static_cast<std::uint32_t>(random()), ++generation};
    }
    for (const auto& [row, entry] : changed) expected[row] = entry;
    return as_entries(changed);
  };
  std::vector<RowTableLink> links;
  for (const std::size_t count : {30000u, 10000u, 1u, 20000u}) {
    links.push_back(
        write_row_table(disk_, "/part-" + std::to_string(links.size()),
                        {.table = 1, .base = links.empty(), .next_generation = 1001 + links.size()},
                        change(count)));
  }
  const RowTableChain chain(disk_, 1, links);
  EXPECT_EQ(chain.next_generation(), 1004u);
  EXPECT_GE(chain.most_entries(), expected.size());
  Entries found;
  chain.for_each(nullptr, [&](const TableEntry& entry) { found.push_back(entry); });
  EXPECT_EQ(found, as_entries(expected));

  const Entries newest = change(5000);
  const offload::TableDelta delta{newest, 2000};
  const offload::TableChanges changes(delta);
  write_row_table_base(disk_, "/base", 1, chain, changes);
  EXPECT_EQ(read_row_table(disk_, "/base"), as_entries(expected));
  EXPECT_EQ(RowTableReader(disk_, "/base").head(), (RowTableHead{1, true, 2000, expected.size()}));
  write_row_table_delta(disk_, "/delta", 1, changes);
  EXPECT_EQ(read_row_table(disk_, "/delta"), newest);
  EXPECT_EQ(RowTableReader(disk_, "/delta").head(), (RowTableHead{1, false, 2000, newest.size()}));
  write_row_table_base(disk_, "/first", 1, RowTableChain(disk_, 1, {}), changes);
  EXPECT_EQ(read_row_table(disk_, "/first"), newest);
}

TEST_F(RowTableFile, ReplacesALongerOneOfTheSameName) {
  write_row_table(disk_, "/t", {}, Entries{{1, 5, 9}, {4, 2, 10}, {9, 0, 11}});
  write_row_table(disk_, "/t", {}, Entries{{2, 5, 9}});
  EXPECT_EQ(read_row_table(disk_, "/t"), (Entries{{2, 5, 9}}));
}

TEST_F(RowTableFile, OfAChainWithADamagedByteMakesNoBase) {
  const std::vector<RowTableLink> links = {
      write_row_table(disk_, "/base", {.base = true}, {{1, 5, 9}, {4, 2, 10}}),
      write_row_table(disk_, "/delta", {.base = false}, {{1, 6, 12}})};
  const offload::TableDelta nothing;
  for (const std::string path : {"/base", "/delta"}) {
    disk_.corrupt(path, 45, 3);  // a slot
    const RowTableChain chain(disk_, 0, links);
    EXPECT_THROW(write_row_table_base(disk_, "/new", 0, chain, offload::TableChanges(nothing)),
                 io::Error);
    EXPECT_FALSE(disk_.exists("/new")) << "found before anything is written";
    disk_.corrupt(path, 45, 3);
  }
}

TEST_F(RowTableFile, ThatIsWholeButNotTheOneThatIsMeantMakesNoTable) {
  std::vector<RowTableLink> links = {
      write_row_table(disk_, "/base", {.base = true}, {{1, 5, 9}, {4, 2, 10}}),
      write_row_table(disk_, "/delta", {.base = false}, {{1, 6, 12}})};
  write_row_table(disk_, "/delta", {.base = false}, {{4, 6, 12}});
  const RowTableChain chain(disk_, 0, links);
  EXPECT_THROW(chain.for_each(nullptr, [](const TableEntry&) {}), io::Error);
}

TEST_F(RowTableFile, OfAnotherTableOrPlaceInTheChainIsRefused) {
  const RowTableLink base =
      write_row_table(disk_, "/base", {.table = 0, .base = true}, {{1, 5, 9}});
  const RowTableLink delta =
      write_row_table(disk_, "/delta", {.table = 0, .base = false}, {{1, 6, 12}});
  const RowTableLink other =
      write_row_table(disk_, "/other", {.table = 1, .base = false}, {{1, 6, 12}});
  const auto refuses = [&](const std::vector<RowTableLink>& links) {
    try {
      RowTableChain(disk_, 0, links);
    } catch (const io::Error& error) {
      return std::string(error.what()).find(links.back().path) != std::string::npos;
    }
    return false;
  };
  EXPECT_TRUE(refuses({delta}));
  EXPECT_TRUE(refuses({base, base}));
  EXPECT_TRUE(refuses({base, other}));
  EXPECT_FALSE(refuses({base, delta}));
}

}  // namespace
}  // namespace mneme::engine
