// The outcome of attempts at a transfer: what goes on, what repeats, and that both end.
#include "io/transfer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

#include "io/aligned_buffer.h"
#include "io/error.h"
#include "io/file_io.h"
#include "io/random.h"
#include "tests/simulated_disk/simulated_disk.h"

namespace mneme::io {
namespace {

class TransferTest : public testing::Test {
 protected:
  TransferTest() : memory_(8192, 512) {
    OpenOptions options;
    options.create = true;
    file_ = disk_.open("f", options);
    file_->reserve(1 << 20);
  }
  Transfer transfer(BlockOperation operation = BlockOperation::kRead) {
    return Transfer{{operation, 4096, memory_.data(), 8192, 5}};
  }

  SimulatedDisk disk_;
  std::unique_ptr<BlockFile> file_;
  AlignedBuffer memory_;
};

TEST_F(TransferTest, a_short_transfer_goes_on_from_the_last_whole_block) {
  Transfer short_read = transfer();
  EXPECT_EQ(advance(short_read, 1000, *file_), TransferStep::kRequeue);
  EXPECT_EQ(short_read.done, 512u);
  EXPECT_EQ(advance(short_read, 1024, *file_), TransferStep::kRequeue);
  EXPECT_EQ(short_read.done, 1536u);
  EXPECT_EQ(advance(short_read, 8192 - 1536, *file_), TransferStep::kFinished);
  EXPECT_EQ(short_read.error, 0);
  EXPECT_EQ(short_read.done, 8192u);
}

TEST_F(TransferTest, retries_are_bounded_for_every_cause) {
  for (const std::int64_t result :
       {std::int64_t{-EAGAIN}, std::int64_t{-EINTR}, std::int64_t{0}, std::int64_t{511}}) {
    SCOPED_TRACE(result);
    Transfer stalled = transfer(BlockOperation::kWrite);
    std::uint32_t attempts = 1;
    while (advance(stalled, result, *file_) == TransferStep::kRequeue) ++attempts;
    EXPECT_EQ(attempts, kMaxStalls + 1);
    EXPECT_EQ(stalled.error, result < 0 ? static_cast<int>(-result) : EIO);
  }
}

TEST_F(TransferTest, progress_renews_the_patience) {
  Transfer slow = transfer(BlockOperation::kWrite);
  for (int block = 0; block < 15; ++block) {
    for (std::uint32_t i = 0; i < kMaxStalls; ++i) {
      ASSERT_EQ(advance(slow, -EAGAIN, *file_), TransferStep::kRequeue);
    }
    ASSERT_EQ(advance(slow, 512, *file_), TransferStep::kRequeue);
  }
  EXPECT_EQ(advance(slow, 512, *file_), TransferStep::kFinished);
  EXPECT_EQ(slow.error, 0);
}

TEST_F(TransferTest, any_other_errno_ends_it) {
  Transfer failed = transfer();
  EXPECT_EQ(advance(failed, -EIO, *file_), TransferStep::kFinished);
  EXPECT_EQ(failed.error, EIO);
  BlockFileCounters counters;
  const BlockCompletion completion = complete(failed, counters);
  EXPECT_EQ(completion.tag, 5u);
  EXPECT_EQ(completion.error, EIO);
  EXPECT_EQ(counters.reads, 1u);
  EXPECT_EQ(counters.read_bytes, 0u) << "a failed transfer moved nothing to count on";
}

TEST(SimulatedFaults, the_nth_transfer_fails_once_or_from_then_on) {
  for (const bool keep_failing : {false, true}) {
    SimulatedDisk disk;
    OpenOptions options;
    options.create = true;
    auto file = disk.open("f", options);
    SimulatedFaults faults;
    faults.fail_write = 3;
    faults.fail_read = 2;
    faults.keep_failing = keep_failing;
    disk.set_faults(faults);
    AlignedBuffer memory(512, 512);
    for (std::uint64_t i = 1; i <= 5; ++i) {
      const bool write_fails = keep_failing ? i >= 3 : i == 3;
      const bool read_fails = keep_failing ? i >= 2 : i == 2;
      for (const bool write : {true, false}) {
        ASSERT_TRUE(file->submit(
            {write ? BlockOperation::kWrite : BlockOperation::kRead, 0, memory.data(), 512, i}));
        BlockCompletion completion;
        ASSERT_EQ(file->poll({&completion, 1}, true), 1u);
        EXPECT_EQ(completion.error, (write ? write_fails : read_fails) ? EIO : 0) << i;
      }
    }
  }
}

TEST(SimulatedFaults, a_full_disk_refuses_growth_and_gives_room_back_after_removal) {
  SimulatedDisk disk;
  SimulatedFaults faults;
  faults.capacity_bytes = 4096;
  disk.set_faults(faults);
  OpenOptions options;
  options.create = true;
  auto file = disk.open("f", options);
  file->reserve(2048);
  AlignedBuffer memory(2048, 512);
  write_blocks(*file, 1024, memory.span());
  EXPECT_THROW(file->reserve(4097), Error);
  EXPECT_THROW(write_blocks(*file, 3072, memory.span()), Error);
  EXPECT_THROW(disk.write_file("g", memory.span()), Error);
  disk.remove("f");
  EXPECT_NO_THROW(disk.write_file("g", memory.span()));
}

TEST(SimulatedFaults, after_a_failed_sync_the_file_takes_no_more_writes) {
  SimulatedDisk disk;
  OpenOptions options;
  options.create = true;
  auto file = disk.open("f", options);
  AlignedBuffer memory(512, 512);
  write_blocks(*file, 0, memory.span());
  SimulatedFaults faults;
  faults.fail_sync = 1;
  disk.set_faults(faults);
  EXPECT_THROW(file->sync(), Error);
  EXPECT_THROW((void)file->submit({BlockOperation::kWrite, 0, memory.data(), 512, 0}), Error);
  EXPECT_THROW(file->sync(), Error);
  EXPECT_THROW(file->reserve(1 << 20), Error);
  EXPECT_NO_THROW(read_blocks(*file, 0, memory.span()));
}

TEST(SimulatedMisuse, a_reads_memory_is_garbage_until_its_completion) {
  SimulatedDisk disk;
  OpenOptions options;
  options.create = true;
  auto file = disk.open("f", options);
  file->reserve(512);
  AlignedBuffer memory(512, 512);
  ASSERT_TRUE(file->submit({BlockOperation::kRead, 0, memory.data(), 512, 0}));
  const auto zeros = [&] { return std::ranges::count(memory.span(), std::byte{0}); };
  EXPECT_LT(zeros(), 100);
  BlockCompletion completion;
  ASSERT_EQ(file->poll({&completion, 1}, true), 1u);
  EXPECT_EQ(zeros(), 512);
}

TEST(SimulatedMisuseDeathTest, changing_a_writes_memory_in_flight_is_a_bug) {
  SimulatedDisk disk;
  OpenOptions options;
  options.create = true;
  AlignedBuffer memory(512, 512);
  auto misuse = [&] {
    auto file = disk.open("f", options);
    (void)file->submit({BlockOperation::kWrite, 0, memory.data(), 512, 0});
    memory.data()[3] = std::byte{1};
    BlockCompletion completion;
    file->poll({&completion, 1}, true);
  };
  EXPECT_DEATH(misuse(), "changed before its completion");
}

}  // namespace
}  // namespace mneme::io
