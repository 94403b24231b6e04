// A slot verifies exactly when it holds the record that was asked for.
#include "io/record_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "io/aligned_buffer.h"
#include "io/error.h"
#include "io/file_io.h"
#include "io/random.h"
#include "tests/simulated_disk/simulated_disk.h"

namespace mneme::io {
namespace {

constexpr RecordFileShape kShape = {1000, 77};

class RecordFileTest : public testing::Test {
 protected:
  RecordFileTest()
      : records_(RecordFile::create(disk_, "rows", kShape, {})), buffer_(slot_bytes(), 512) {
    records_.reserve(16);
  }

  std::uint32_t slot_bytes() const { return records_.slot_bytes(); }
  void fill(std::uint64_t seed) {
    SplitMix(seed).fill(buffer_.span().subspan(RecordFile::kPayloadOffset, kShape.payload_bytes));
  }
  void write(const RecordKey& key, std::uint64_t slot) {
    fill(key.row);
    records_.seal(buffer_.data(), key);
    ASSERT_TRUE(records_.submit_write(buffer_.data(), slot, 0));
    wait();
  }
  void read(std::uint64_t slot) {
    ASSERT_TRUE(records_.submit_read(buffer_.data(), slot, 0));
    wait();
  }
  void wait() {
    BlockCompletion completion;
    ASSERT_EQ(records_.file().poll({&completion, 1}, true), 1u);
    ASSERT_EQ(completion.error, 0);
  }
  std::string reason(const RecordKey& key) const {
    return records_.mismatch(buffer_.data(), key).value_or("");
  }

  SimulatedDisk disk_;
  RecordFile records_;
  AlignedBuffer buffer_;
};

TEST_F(RecordFileTest, a_record_comes_back_as_written) {
  const RecordKey key = {5, 3, 9};
  write(key, 3);
  read(3);
  EXPECT_EQ(reason(key), "");
  AlignedBuffer expected(kShape.payload_bytes, 512);
  SplitMix(5).fill(expected.span());
  EXPECT_EQ(std::memcmp(buffer_.data() + RecordFile::kPayloadOffset, expected.data(),
                        kShape.payload_bytes),
            0);
}

TEST_F(RecordFileTest, slots_are_whole_blocks_behind_the_header) {
  EXPECT_EQ(slot_bytes(), 1536u);
  EXPECT_EQ(records_.capacity_slots(), 16u);
  EXPECT_EQ(records_.offset_of(0) % 4096, 0u);
  EXPECT_EQ(records_.offset_of(7) - records_.offset_of(0), 7u * slot_bytes());
  records_.reserve(3);
  EXPECT_EQ(records_.capacity_slots(), 16u);
}

TEST_F(RecordFileTest, a_slot_never_written_does_not_verify) {
  read(2);
  EXPECT_NE(reason({0, 2, 0}), "");
}

TEST_F(RecordFileTest, a_stale_record_does_not_verify) {
  write({5, 3, 8}, 3);
  read(3);
  EXPECT_NE(reason({5, 3, 9}), "");
}

TEST_F(RecordFileTest, a_misdirected_write_does_not_verify) {
  write({5, 3, 9}, 4);
  read(4);
  EXPECT_NE(reason({5, 4, 9}), "");
}

TEST_F(RecordFileTest, swapped_rows_do_not_verify) {
  write({5, 4, 9}, 4);
  write({6, 3, 9}, 3);
  read(4);
  EXPECT_NE(reason({6, 4, 9}), "");
  read(3);
  EXPECT_NE(reason({5, 3, 9}), "");
}

TEST_F(RecordFileTest, a_record_of_another_table_does_not_verify) {
  const RecordKey key = {5, 3, 9};
  auto other = RecordFile::create(disk_, "other", {kShape.payload_bytes, 78}, {});
  fill(5);
  other.seal(buffer_.data(), key);
  EXPECT_NE(reason(key), "");
}

TEST_F(RecordFileTest, every_single_bit_error_in_header_and_payload_is_found) {
  const RecordKey key = {5, 3, 9};
  fill(5);
  records_.seal(buffer_.data(), key);
  for (std::size_t bit = 0; bit < (RecordFile::kPayloadOffset + 1000) * 8; ++bit) {
    const auto mask = static_cast<std::byte>(1u << bit % 8);
    buffer_.data()[bit / 8] ^= mask;
    ASSERT_NE(reason(key), "") << "bit " << bit;
    buffer_.data()[bit / 8] ^= mask;
  }
  EXPECT_EQ(reason(key), "");
}

TEST_F(RecordFileTest, a_torn_record_verifies_only_as_old_or_new) {
  write({5, 3, 1}, 3);
  records_.file().sync();
  disk_.sync_directory(".");
  AlignedBuffer before = std::move(buffer_);
  buffer_ = AlignedBuffer(slot_bytes(), 512);
  write({5, 3, 2}, 3);
  int neither = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    auto after = disk_.crash_state(disk_.operation_count(), {CrashPolicy::Kind::kGarbage, seed});
    auto records = RecordFile::open(*after, "rows", kShape, {});
    read_blocks(records.file(), records.offset_of(3), buffer_.span());
    const bool old_record = !records.mismatch(buffer_.data(), {5, 3, 1});
    const bool new_record = !records.mismatch(buffer_.data(), {5, 3, 2});
    EXPECT_FALSE(old_record && new_record);
    // Both generations hold the same payload, so only the header tells them apart.
    if (!old_record && !new_record) ++neither;
  }
  EXPECT_GT(neither, 0);
}

TEST_F(RecordFileTest, a_foreign_or_damaged_file_is_an_error) {
  EXPECT_NO_THROW(RecordFile::open(disk_, "rows", kShape, {}));
  EXPECT_THROW(RecordFile::open(disk_, "rows", {1001, 77}, {}), Error);
  EXPECT_THROW(RecordFile::open(disk_, "rows", {1000, 78}, {}), Error);
  EXPECT_THROW(RecordFile::open(disk_, "none", kShape, {}), Error);
  disk_.write_file("empty", {});
  EXPECT_THROW(RecordFile::open(disk_, "empty", kShape, {}), Error);
  disk_.write_file("zeros", std::vector<std::byte>(8192));
  EXPECT_THROW(RecordFile::open(disk_, "zeros", kShape, {}), Error);
  for (std::uint64_t byte = 0; byte < 40; ++byte) {
    disk_.corrupt("rows", byte, byte % 8);
    EXPECT_THROW(RecordFile::open(disk_, "rows", kShape, {}), Error) << byte;
    disk_.corrupt("rows", byte, byte % 8);
  }
}

TEST_F(RecordFileTest, is_read_and_written_on_a_disk_of_larger_blocks) {
  write({5, 3, 9}, 3);
  const auto content = disk_.read_file("rows", 1 << 20);
  SimulatedDiskOptions options;
  options.alignment = 4096;
  SimulatedDisk larger(options);
  larger.write_file("rows", content);
  RecordFile moved = RecordFile::open(larger, "rows", kShape, {});
  EXPECT_EQ(moved.slot_bytes(), 1536u);
  read_blocks(moved.file(), moved.offset_of(3), buffer_.span());
  EXPECT_EQ(reason({5, 3, 9}), "");
  fill(6);
  moved.seal(buffer_.data(), {6, 4, 10});
  write_blocks(moved.file(), moved.offset_of(4), buffer_.span());
  read_blocks(moved.file(), moved.offset_of(4), buffer_.span());
  EXPECT_EQ(reason({6, 4, 10}), "");

  auto made = RecordFile::create(larger, "new", kShape, {});
  EXPECT_EQ(made.slot_bytes(), 4096u);
  SimulatedDisk smaller;
  smaller.write_file("new", larger.read_file("new", 1 << 20));
  EXPECT_EQ(RecordFile::open(smaller, "new", kShape, {}).slot_bytes(), 4096u);
}

TEST_F(RecordFileTest, creating_replaces_no_file_of_that_name) {
  write({5, 3, 9}, 3);
  const auto content = disk_.read_file("rows", 1 << 20);
  EXPECT_THROW(RecordFile::create(disk_, "rows", kShape, {}), Error);
  EXPECT_EQ(disk_.read_file("rows", 1 << 20), content);
}

TEST_F(RecordFileTest, is_known_by_its_header) {
  std::uint64_t table_id = 0;
  EXPECT_TRUE(is_record_file(disk_, "rows", &table_id));
  EXPECT_EQ(table_id, kShape.table_id);
  disk_.write_file("short", std::vector<std::byte>(100));
  disk_.write_file("zeros", std::vector<std::byte>(8192));
  EXPECT_FALSE(is_record_file(disk_, "short"));
  EXPECT_FALSE(is_record_file(disk_, "zeros"));
  disk_.corrupt("rows", 25, 1);
  EXPECT_FALSE(is_record_file(disk_, "rows"));
}

}  // namespace
}  // namespace mneme::io
