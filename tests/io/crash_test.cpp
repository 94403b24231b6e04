// What SimulatedDisk's crash states promise: what was made durable is there, the rest may be there
// in part, and every policy shows what it is for.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "io/aligned_buffer.h"
#include "io/error.h"
#include "io/file_io.h"
#include "io/random.h"
#include "tests/simulated_disk/simulated_disk.h"

namespace mneme::io {
namespace {

using Kind = CrashPolicy::Kind;
constexpr Kind kAllKinds[] = {Kind::kDropUnsynced, Kind::kKeepUnsynced, Kind::kRandomSubset,
                              Kind::kTear, Kind::kGarbage};

std::vector<std::byte> text(std::string_view characters) {
  const auto bytes = std::as_bytes(std::span(characters));
  return {bytes.begin(), bytes.end()};
}

std::unique_ptr<BlockFile> create(Disk& disk, const std::string& path) {
  OpenOptions options;
  options.create = true;
  return disk.open(path, options);
}

AlignedBuffer blocks_of(std::byte value, std::size_t blocks) {
  AlignedBuffer buffer(blocks * 512, 512);
  std::ranges::fill(buffer.span(), value);
  return buffer;
}

TEST(Crash, what_was_synced_survives_every_crash) {
  SimulatedDisk disk;
  auto file = create(disk, "f");
  AlignedBuffer ones = blocks_of(std::byte{1}, 4);
  AlignedBuffer twos = blocks_of(std::byte{2}, 4);
  write_blocks(*file, 0, ones.span());
  file->sync();
  disk.sync_directory(".");
  const std::size_t durable = disk.operation_count();
  write_blocks(*file, 2048, twos.span());

  for (std::size_t boundary = durable; boundary <= disk.operation_count(); ++boundary) {
    for (const Kind kind : kAllKinds) {
      for (std::uint64_t seed = 0; seed < 20; ++seed) {
        SCOPED_TRACE(testing::Message() << "boundary " << boundary << " kind "
                                        << static_cast<int>(kind) << " seed " << seed);
        auto after = disk.crash_state(boundary, {kind, seed});
        const auto content = after->read_file("f", 1 << 20);
        ASSERT_GE(content.size(), 2048u);
        EXPECT_EQ(std::memcmp(content.data(), ones.data(), 2048), 0);
      }
    }
  }
}

TEST(Crash, unsynced_names_and_data_may_be_lost_or_kept) {
  SimulatedDisk disk;
  disk.write_file("f", text("content"));
  const std::size_t now = disk.operation_count();
  EXPECT_FALSE(disk.crash_state(now, {Kind::kDropUnsynced})->exists("f"));
  EXPECT_EQ(disk.crash_state(now, {Kind::kKeepUnsynced})->read_file("f", 10), text("content"));
  std::set<bool> seen;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    seen.insert(disk.crash_state(now, {Kind::kRandomSubset, seed})->exists("f"));
  }
  EXPECT_EQ(seen.size(), 2u);
}

TEST(Crash, a_rename_shows_the_old_state_or_the_new_at_every_boundary) {
  SimulatedDisk disk;
  disk.write_file("manifest", text("old"));
  disk.sync_directory(".");
  const std::size_t committed = disk.operation_count();
  disk.write_file("manifest.new", text("new"));
  disk.rename("manifest.new", "manifest");
  const std::size_t renamed = disk.operation_count();
  disk.sync_directory(".");

  std::set<std::string> seen;
  for (std::size_t boundary = committed; boundary <= disk.operation_count(); ++boundary) {
    for (const Kind kind : kAllKinds) {
      for (std::uint64_t seed = 0; seed < 20; ++seed) {
        SCOPED_TRACE(testing::Message() << disk.describe_operation(boundary - 1) << ", kind "
                                        << static_cast<int>(kind) << " seed " << seed);
        auto after = disk.crash_state(boundary, {kind, seed});
        const auto content = after->read_file("manifest", 10);
        const std::string found(reinterpret_cast<const char*>(content.data()), content.size());
        EXPECT_TRUE(found == "old" || found == "new") << found;
        if (boundary > renamed) {
          EXPECT_EQ(found, "new");
        }
        seen.insert(found);
      }
    }
  }
  EXPECT_EQ(seen.size(), 2u);
}

TEST(Crash, a_rename_before_the_datas_sync_can_lose_the_data) {
  // The mistake that crash tests exist for.
  SimulatedDisk disk;
  disk.write_file("manifest", text("old"));
  disk.sync_directory(".");
  auto file = create(disk, "manifest.new");
  AlignedBuffer ones = blocks_of(std::byte{1}, 1);
  write_blocks(*file, 0, ones.span());
  disk.rename("manifest.new", "manifest");
  disk.sync_directory(".");
  auto after = disk.crash_state(disk.operation_count(), {Kind::kDropUnsynced});
  EXPECT_TRUE(after->read_file("manifest", 1000).empty());
}

TEST(Crash, a_torn_write_keeps_some_sectors_whole) {
  SimulatedDisk disk;
  auto file = create(disk, "f");
  AlignedBuffer ones = blocks_of(std::byte{1}, 48);
  write_blocks(*file, 0, ones.span());
  file->sync();
  disk.sync_directory(".");
  AlignedBuffer twos = blocks_of(std::byte{2}, 48);
  write_blocks(*file, 0, twos.span());

  int torn = 0;
  int garbage = 0;
  for (const Kind kind : {Kind::kTear, Kind::kGarbage}) {
    for (std::uint64_t seed = 0; seed < 30; ++seed) {
      auto after = disk.crash_state(disk.operation_count(), {kind, seed});
      const auto content = after->read_file("f", 1 << 20);
      ASSERT_EQ(content.size(), 48u * 512);
      std::set<int> kinds;
      for (std::size_t sector = 0; sector < 48; ++sector) {
        const std::byte* bytes = content.data() + sector * 512;
        const bool whole =
            std::all_of(bytes, bytes + 512, [&](std::byte b) { return b == *bytes; });
        kinds.insert(whole ? static_cast<int>(*bytes) : -1);
      }
      torn += kinds.contains(1) && kinds.contains(2);
      garbage += kinds.contains(-1);
      if (kind == Kind::kTear) {
        EXPECT_FALSE(kinds.contains(-1)) << "seed " << seed;
      }
    }
  }
  EXPECT_GT(torn, 40);
  EXPECT_GT(garbage, 20);
}

TEST(Crash, data_behind_a_failed_sync_is_not_made_durable_by_a_later_one) {
  SimulatedDisk disk;
  auto file = create(disk, "f");
  disk.sync_directory(".");
  AlignedBuffer ones = blocks_of(std::byte{1}, 1);
  write_blocks(*file, 0, ones.span());
  SimulatedFaults faults;
  faults.fail_sync = 1;
  disk.set_faults(faults);
  EXPECT_THROW(file->sync(), Error);
  create(disk, "f")->sync();
  auto after = disk.crash_state(disk.operation_count(), {Kind::kDropUnsynced});
  EXPECT_EQ(after->read_file("f", 1000).size(), 0u);
}

TEST(Crash, a_write_in_flight_may_be_on_the_disk_already) {
  SimulatedDisk disk;
  AlignedBuffer ones = blocks_of(std::byte{1}, 1);
  auto file = create(disk, "f");
  disk.sync_directory(".");
  ASSERT_TRUE(file->submit({BlockOperation::kWrite, 0, ones.data(), 512, 0}));
  auto after = disk.crash_state(disk.operation_count(), {Kind::kKeepUnsynced});
  EXPECT_EQ(after->read_file("f", 1000).size(), 512u);
}

TEST(Crash, a_sync_says_nothing_of_writes_in_flight) {
  SimulatedDisk disk;
  auto file = create(disk, "f");
  AlignedBuffer ones = blocks_of(std::byte{1}, 1), twos = blocks_of(std::byte{2}, 1);
  write_blocks(*file, 0, ones.span());
  ASSERT_TRUE(file->submit({BlockOperation::kWrite, 512, twos.data(), 512, 7}));
  file->sync();
  disk.sync_directory(".");
  const auto after = [&] {
    return disk.crash_state(disk.operation_count(), {Kind::kDropUnsynced})->read_file("f", 1024);
  };
  ASSERT_GE(after().size(), 512u);
  EXPECT_EQ(std::memcmp(after().data(), ones.data(), 512), 0);
  EXPECT_TRUE(after().size() == 512 || after()[512] != std::byte{2});
  BlockCompletion done;
  ASSERT_EQ(file->poll({&done, 1}, true), 1u);
  file->sync();
  ASSERT_EQ(after().size(), 1024u);
  EXPECT_EQ(after()[512], std::byte{2});
}

TEST(Crash, removed_files_and_directories_may_come_back_until_the_directory_is_synced) {
  SimulatedDisk disk;
  disk.make_directories("d/e");
  disk.write_file("d/e/f", text("x"));
  disk.sync_directory("d/e");
  disk.remove("d/e/f");
  disk.remove("d/e");
  std::size_t now = disk.operation_count();
  EXPECT_TRUE(disk.crash_state(now, {Kind::kDropUnsynced})->exists("d/e/f"));
  EXPECT_FALSE(disk.crash_state(now, {Kind::kKeepUnsynced})->exists("d/e"));
  disk.sync_directory("d");
  now = disk.operation_count();
  EXPECT_FALSE(disk.crash_state(now, {Kind::kDropUnsynced})->exists("d/e"));
  EXPECT_FALSE(disk.crash_state(now, {Kind::kDropUnsynced})->exists("d/e/f"));
}

TEST(Crash, states_repeat_for_the_same_arguments_in_any_order) {
  SimulatedDisk disk;
  SplitMix random(3);
  AlignedBuffer memory(4096, 512);
  auto file = create(disk, "f");
  for (int i = 0; i < 30; ++i) {
    random.fill(memory.span());
    write_blocks(*file, random.below(16) * 512, memory.span());
    if (i % 7 == 0) file->sync();
    if (i == 10) disk.sync_directory(".");
  }
  const auto state = [&](std::size_t boundary) {
    auto after = disk.crash_state(boundary, {Kind::kGarbage, boundary});
    return after->exists("f") ? after->read_file("f", 1 << 20) : std::vector<std::byte>();
  };
  std::vector<std::vector<std::byte>> rising;
  for (std::size_t i = 0; i <= disk.operation_count(); ++i) rising.push_back(state(i));
  for (std::size_t i = disk.operation_count() + 1; i-- > 0;) EXPECT_EQ(state(i), rising[i]) << i;
}

TEST(Crash, a_crashed_disk_works_and_can_crash_again) {
  SimulatedDisk disk;
  disk.write_file("f", text("one"));
  disk.sync_directory(".");
  auto second = disk.crash_state(disk.operation_count(), {Kind::kDropUnsynced});
  EXPECT_EQ(second->operation_count(), 0u);
  second->write_file("g", text("two"));
  second->sync_directory(".");
  auto third = second->crash_state(second->operation_count(), {Kind::kDropUnsynced});
  EXPECT_EQ(third->read_file("f", 10), text("one"));
  EXPECT_EQ(third->read_file("g", 10), text("two"));
}

}  // namespace
}  // namespace mneme::io
