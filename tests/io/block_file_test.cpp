// What every BlockFile promises, checked on io_uring, on pread/pwrite and on the simulated disk,
// the last one also with short transfers, retries, delays and reordering.
#include "io/block_file.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "io/aligned_buffer.h"
#include "io/disk.h"
#include "io/error.h"
#include "io/file_io.h"
#include "io/paced_disk.h"
#include "io/random.h"
#include "io/uring_file.h"
#include "tests/io/temporary_directory.h"
#include "tests/io/uring_support.h"
#include "tests/simulated_disk/simulated_disk.h"

namespace mneme::io {
namespace {

enum class DiskUnderTest { kUring, kUringBuffered, kSync, kSimulated, kSimulatedRough, kPaced };

std::string name_of(const testing::TestParamInfo<DiskUnderTest>& info) {
  constexpr const char* kNames[] = {"uring",     "uring_buffered",  "sync",
                                    "simulated", "simulated_rough", "paced"};
  return kNames[static_cast<int>(info.param)];
}

class BlockFileTest : public testing::TestWithParam<DiskUnderTest> {
 protected:
  BlockFileTest() {
    if (simulated()) {
      auto disk = std::make_unique<SimulatedDisk>();
      disk->make_directories(directory_.path());
      if (GetParam() != DiskUnderTest::kSimulated) {
        SimulatedFaults rough;
        rough.short_share = 0.3;
        rough.retry_share = 0.3;
        rough.reorder = true;
        rough.max_delay_polls = 5;
        disk->set_faults(rough);
      }
      disk_ = std::move(disk);
      if (GetParam() == DiskUnderTest::kPaced) {
        unpaced_ = std::move(disk_);
        disk_ = std::make_unique<PacedDisk>(*unpaced_, link_);
      }
    } else {
      disk_ = make_posix_disk();
    }
  }

  void SetUp() override {
    const bool uring = !simulated() && GetParam() != DiskUnderTest::kSync;
    if (uring) REQUIRE_URING_OR_SKIP();
  }

  bool simulated() const {
    return GetParam() == DiskUnderTest::kSimulated ||
           GetParam() == DiskUnderTest::kSimulatedRough || GetParam() == DiskUnderTest::kPaced;
  }
  OpenOptions options(std::uint32_t depth = 16) const {
    OpenOptions options;
    options.create = true;
    options.depth = depth;
    options.engine = GetParam() == DiskUnderTest::kSync ? IoEngine::kSync : IoEngine::kUring;
    options.direct = GetParam() != DiskUnderTest::kUringBuffered;
    return options;
  }
  std::string path() const { return directory_.file("blocks"); }
  std::unique_ptr<BlockFile> open(std::uint32_t depth = 16) {
    return disk_->open(path(), options(depth));
  }
  // Polls until nothing is in flight.
  static std::vector<BlockCompletion> drain(BlockFile& file) {
    std::vector<BlockCompletion> all;
    BlockCompletion some[7];
    while (file.in_flight() > 0) {
      const std::size_t count = file.poll(some, true);
      EXPECT_GT(count, 0u);
      all.insert(all.end(), some, some + count);
    }
    return all;
  }
  AlignedBuffer random_bytes(const BlockFile& file, std::size_t bytes, std::uint64_t seed) {
    AlignedBuffer buffer(bytes, file.alignment());
    SplitMix(seed).fill(buffer.span());
    return buffer;
  }

  test::TemporaryDirectory directory_;
  EmulatedLink link_{2e9};
  std::unique_ptr<Disk> unpaced_;
  std::unique_ptr<Disk> disk_;
};

INSTANTIATE_TEST_SUITE_P(Disks, BlockFileTest,
                         testing::Values(DiskUnderTest::kUring, DiskUnderTest::kUringBuffered,
                                         DiskUnderTest::kSync, DiskUnderTest::kSimulated,
                                         DiskUnderTest::kSimulatedRough, DiskUnderTest::kPaced),
                         name_of);

TEST_P(BlockFileTest, returns_every_block_as_written_at_full_depth) {
  constexpr std::uint32_t kBlocks = 200;
  constexpr std::uint32_t kDepth = 16;
  auto file = open(kDepth);
  const std::uint32_t bytes = 2 * file->alignment();
  AlignedBuffer content = random_bytes(*file, std::size_t{kBlocks} * bytes, 1);
  AlignedBuffer back(content.size(), file->alignment());
  file->register_buffer(back.span());
  file->register_buffer(content.span().first(content.size() / 2));

  for (const BlockOperation operation : {BlockOperation::kWrite, BlockOperation::kRead}) {
    std::byte* memory = operation == BlockOperation::kWrite ? content.data() : back.data();
    std::set<std::uint64_t> tags;
    const auto collect = [&](const std::vector<BlockCompletion>& completions) {
      for (const BlockCompletion& completion : completions) {
        EXPECT_EQ(completion.error, 0);
        EXPECT_TRUE(tags.insert(completion.tag).second);
      }
    };
    for (std::uint64_t i = 0; i < kBlocks; ++i) {
      // An order unlike that of the file: 7 and 200 have no common divisor.
      const std::uint64_t block = i * 7 % kBlocks;
      const BlockRequest request = {operation, block * bytes, memory + block * bytes, bytes, block};
      if (!file->submit(request)) {
        EXPECT_EQ(file->in_flight(), kDepth);
        BlockCompletion one;
        ASSERT_EQ(file->poll({&one, 1}, true), 1u);
        collect({one});
        ASSERT_TRUE(file->submit(request));
      }
    }
    collect(drain(*file));
    EXPECT_EQ(tags.size(), kBlocks);
    if (operation == BlockOperation::kWrite) file->sync();
  }
  EXPECT_EQ(std::memcmp(content.data(), back.data(), content.size()), 0);
  EXPECT_EQ(file->counters().reads, kBlocks);
  EXPECT_EQ(file->counters().writes, kBlocks);
  EXPECT_EQ(file->counters().read_bytes, content.size());
  EXPECT_EQ(file->counters().written_bytes, content.size());
  EXPECT_EQ(file->counters().syncs, 1u);
  if (GetParam() == DiskUnderTest::kSimulatedRough) {
    EXPECT_GT(file->counters().retries, 0u);
  }
  file.reset();  // before the memory that it has registered
}

TEST_P(BlockFileTest, is_synced_from_another_thread_while_it_is_written) {
  auto file = open();
  const std::uint32_t bytes = file->alignment();
  AlignedBuffer content = random_bytes(*file, 64 * bytes, 5);
  std::atomic<bool> is_over = false;
  std::uint64_t syncs = 0;
  std::thread other([&] {
    do {
      file->sync();
      ++syncs;
    } while (!is_over);
  });
  for (int round = 0; round < 20; ++round) write_blocks(*file, 0, content.span());
  is_over = true;
  other.join();
  EXPECT_EQ(file->counters().syncs, syncs);
  AlignedBuffer back(content.size(), bytes);
  read_blocks(*file, 0, back.span());
  EXPECT_EQ(std::memcmp(content.data(), back.data(), content.size()), 0);
  file.reset();  // before the memory that it may have registered
}

TEST_P(BlockFileTest, keeps_its_content_when_opened_again) {
  AlignedBuffer content;
  {
    auto file = open();
    content = random_bytes(*file, 8 * file->alignment(), 2);
    write_blocks(*file, 0, content.span());
    file->sync();
  }
  auto file = open();
  EXPECT_EQ(file->size_bytes(), content.size());
  AlignedBuffer back(content.size(), file->alignment());
  read_blocks(*file, 0, back.span());
  EXPECT_EQ(std::memcmp(content.data(), back.data(), content.size()), 0);
}

TEST_P(BlockFileTest, refuses_more_requests_than_its_depth) {
  auto file = open(3);
  EXPECT_EQ(file->depth(), 3u);
  const std::uint32_t bytes = file->alignment();
  AlignedBuffer memory = random_bytes(*file, 4 * bytes, 3);
  for (std::uint64_t i = 0; i < 4; ++i) {
    const bool taken =
        file->submit({BlockOperation::kWrite, i * bytes, memory.data() + i * bytes, bytes, i});
    EXPECT_EQ(taken, i < 3);
  }
  EXPECT_EQ(file->in_flight(), 3u);
  EXPECT_EQ(drain(*file).size(), 3u);
  BlockCompletion none;
  EXPECT_EQ(file->poll({&none, 1}, true), 0u) << "there is nothing to wait for";
}

TEST_P(BlockFileTest, completes_without_waiting_polls_too) {
  auto file = open();
  AlignedBuffer memory = random_bytes(*file, file->alignment(), 4);
  ASSERT_TRUE(file->submit({BlockOperation::kWrite, 0, memory.data(), file->alignment(), 9}));
  BlockCompletion completion;
  while (file->poll({&completion, 1}, /*wait=*/false) == 0) std::this_thread::yield();
  EXPECT_EQ(completion.tag, 9u);
  EXPECT_EQ(completion.error, 0);
}

TEST_P(BlockFileTest, reading_past_the_end_is_an_error) {
  auto file = open();
  const std::uint32_t bytes = file->alignment();
  file->reserve(4 * bytes);
  AlignedBuffer memory(8 * bytes, bytes);
  ASSERT_TRUE(file->submit({BlockOperation::kRead, 4 * bytes, memory.data(), bytes, 0}));
  EXPECT_EQ(drain(*file).at(0).error, ENODATA);
  ASSERT_TRUE(file->submit({BlockOperation::kRead, 0, memory.data(), 8 * bytes, 0}));
  EXPECT_EQ(drain(*file).at(0).error, ENODATA) << "the second half is not there";
  try {
    read_blocks(*file, 16 * bytes, memory.span());
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(path()), std::string::npos) << error.what();
  }
}

TEST_P(BlockFileTest, a_partial_last_block_reads_with_zeros_behind_it) {
  auto file = open();
  const std::uint32_t bytes = file->alignment();
  AlignedBuffer content = random_bytes(*file, 2 * bytes, 5);
  write_blocks(*file, 0, content.span());
  file->truncate(bytes + 100);
  EXPECT_EQ(file->size_bytes(), bytes + 100);
  AlignedBuffer back = random_bytes(*file, 2 * bytes, 6);
  read_blocks(*file, 0, back.span());
  EXPECT_EQ(std::memcmp(content.data(), back.data(), bytes + 100), 0);
  for (std::size_t i = bytes + 100; i < back.size(); ++i) {
    ASSERT_EQ(back.data()[i], std::byte{0}) << i;
  }
}

TEST_P(BlockFileTest, reserved_space_reads_as_zeros_and_never_shrinks) {
  auto file = open();
  const std::uint32_t bytes = file->alignment();
  file->reserve(10 * bytes);
  EXPECT_EQ(file->size_bytes(), 10 * bytes);
  AlignedBuffer content = random_bytes(*file, bytes, 7);
  write_blocks(*file, 3 * bytes, content.span());
  file->reserve(5 * bytes);
  EXPECT_EQ(file->size_bytes(), 10 * bytes);
  file->reserve(20 * bytes);
  EXPECT_EQ(file->size_bytes(), 20 * bytes);
  AlignedBuffer back = random_bytes(*file, 20 * bytes, 8);
  read_blocks(*file, 0, back.span());
  for (std::size_t i = 0; i < back.size(); ++i) {
    const bool written = i / bytes == 3;
    ASSERT_EQ(back.data()[i], written ? content.data()[i - 3 * bytes] : std::byte{0}) << i;
  }
}

TEST_P(BlockFileTest, may_move_to_another_thread_when_idle) {
  auto file = open();
  AlignedBuffer content = random_bytes(*file, 4 * file->alignment(), 9);
  AlignedBuffer back(content.size(), file->alignment());
  file->register_buffer(back.span());
  write_blocks(*file, 0, content.span());
  for (int round = 0; round < 2; ++round) {
    std::memset(back.data(), 0, back.size());
    std::thread([&] { read_blocks(*file, 0, back.span()); }).join();
    EXPECT_EQ(std::memcmp(content.data(), back.data(), content.size()), 0);
  }
  read_blocks(*file, 0, back.span());
  file.reset();  // before the memory that it has registered
}

TEST_P(BlockFileTest, closing_waits_for_what_is_in_flight) {
  AlignedBuffer content;
  {
    auto file = open(64);
    const std::uint32_t bytes = file->alignment();
    content = random_bytes(*file, 64 * bytes, 10);
    for (std::uint64_t i = 0; i < 64; ++i) {
      ASSERT_TRUE(
          file->submit({BlockOperation::kWrite, i * bytes, content.data() + i * bytes, bytes, i}));
    }
  }
  auto file = open();
  AlignedBuffer back(content.size(), file->alignment());
  read_blocks(*file, 0, back.span());
  EXPECT_EQ(std::memcmp(content.data(), back.data(), content.size()), 0);
}

TEST_P(BlockFileTest, opening_honours_create_and_exclusive) {
  OpenOptions missing = options();
  missing.create = false;
  EXPECT_THROW(disk_->open(path(), missing), Error);
  OpenOptions exclusive = options();
  exclusive.exclusive = true;
  disk_->open(path(), exclusive);
  EXPECT_THROW(disk_->open(path(), exclusive), Error);
  EXPECT_NO_THROW(disk_->open(path(), missing));
  EXPECT_THROW(disk_->open(directory_.file("no/such/folder"), options()), Error);
}

TEST_P(BlockFileTest, the_disk_lists_renames_removes_and_reads_whole_files) {
  const std::string folder = directory_.file("a/b");
  disk_->make_directories(folder);
  disk_->make_directories(folder);
  EXPECT_TRUE(disk_->exists(folder));
  std::vector<std::byte> content(1000);
  SplitMix(11).fill(content);
  disk_->write_file(folder + "/two", content);
  disk_->write_file(folder + "/one", {});
  EXPECT_EQ(disk_->list(folder), (std::vector<std::string>{"one", "two"}));
  disk_->rename(folder + "/two", folder + "/one");
  disk_->sync_directory(folder);
  EXPECT_EQ(disk_->list(folder), (std::vector<std::string>{"one"}));
  EXPECT_EQ(disk_->read_file(folder + "/one", 1000), content);
  EXPECT_THROW(disk_->read_file(folder + "/one", 999), Error);
  EXPECT_THROW(disk_->read_file(folder + "/two", 999), Error);
  EXPECT_THROW(disk_->remove(folder), Error) << "the folder is not empty";
  disk_->write_file(folder + "/one", std::span(content).first(10));
  EXPECT_EQ(disk_->read_file(folder + "/one", 1000).size(), 10u);
  disk_->remove(folder + "/one");
  disk_->remove(folder + "/one");
  disk_->remove(folder);
  EXPECT_FALSE(disk_->exists(folder));
  EXPECT_THROW(disk_->list(folder), Error);
}

class BlockFileDeathTest : public BlockFileTest {};
INSTANTIATE_TEST_SUITE_P(Disks, BlockFileDeathTest,
                         testing::Values(DiskUnderTest::kUring, DiskUnderTest::kSync,
                                         DiskUnderTest::kSimulated),
                         name_of);

TEST_P(BlockFileDeathTest, a_request_that_is_not_aligned_is_a_bug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  auto file = open();
  AlignedBuffer memory(2 * file->alignment(), file->alignment());
  EXPECT_DEATH((void)file->submit({BlockOperation::kRead, 1, memory.data(), file->alignment(), 0}),
               "must be multiples");
  EXPECT_DEATH(
      (void)file->submit({BlockOperation::kRead, 0, memory.data() + 8, file->alignment(), 0}),
      "must be aligned");
}

TEST(UringRefusal, falls_back_to_pread_only_when_the_engine_is_automatic) {
  test::TemporaryDirectory directory;
  const char* before = std::getenv(kUringVariable);
  const std::string restored = before != nullptr ? before : "";
  ASSERT_EQ(::setenv(kUringVariable, "refuse", 1), 0);
  auto disk = make_posix_disk();
  OpenOptions options;
  options.create = true;
  testing::internal::CaptureStderr();
  auto file = disk->open(directory.file("f"), options);
  const std::string warning = testing::internal::GetCapturedStderr();
  EXPECT_NE(warning.find("refuses io_uring"), std::string::npos) << warning;
  options.engine = IoEngine::kUring;
  EXPECT_THROW(disk->open(directory.file("g"), options), Error);
  ASSERT_EQ(::setenv(kUringVariable, restored.c_str(), 1), 0);

  AlignedBuffer content(file->alignment(), file->alignment());
  SplitMix(1).fill(content.span());
  write_blocks(*file, 0, content.span());
  AlignedBuffer back(content.size(), file->alignment());
  read_blocks(*file, 0, back.span());
  EXPECT_EQ(std::memcmp(content.data(), back.data(), content.size()), 0);
}

TEST(FullDisk, a_reservation_says_how_much_was_wanted_and_leaves_the_file_as_it_was) {
  test::TemporaryDirectory directory;
  auto disk = make_posix_disk();
  OpenOptions options;
  options.create = true;
  auto file = disk->open(directory.file("f"), options);
  file->reserve(8192);
  constexpr std::uint64_t kTooMuch = std::uint64_t{1} << 50;
  try {
    file->reserve(kTooMuch);
    FAIL() << "no disk has a pebibyte";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(std::to_string(kTooMuch)), std::string::npos);
    EXPECT_NE(std::string(error.what()).find(directory.file("f")), std::string::npos);
  }
  EXPECT_EQ(file->size_bytes(), 8192u);
}

}  // namespace
}  // namespace mneme::io
