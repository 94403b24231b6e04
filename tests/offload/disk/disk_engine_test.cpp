// The disk engine: it works while its user does something else, reads for a lease go before hints,
// and what fails is told with row, slot and file.
#include "offload/disk/disk_engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <numeric>
#include <optional>
#include <thread>

#include "io/error.h"
#include "io/forwarding_disk.h"
#include "io/random.h"
#include "tests/simulated_disk/simulated_disk.h"
#include "tests/support/error_of.h"
#include "tests/support/test_backend.h"

namespace mneme::offload {
namespace {

using kernels::RowId;
using mneme::testing::error_of;

constexpr std::uint32_t kRecordBytes = 128, kSlotBytes = 512, kHeaderBytes = 4096;
constexpr std::uint64_t kRows = 5000;

// Counts the transfers of rows files, and can hold them up.
class WatchedDisk final : public io::ForwardingDisk {
 public:
  using ForwardingDisk::ForwardingDisk;
  std::unique_ptr<io::BlockFile> open(const std::string& path,
                                      const io::OpenOptions& options) override {
    return std::make_unique<File>(inner_.open(path, options), *this);
  }
  // Slots in the order in which their reads were started.
  std::vector<std::uint64_t> order() {
    const std::lock_guard lock(mutex_);
    return order_;
  }
  std::atomic<int> reads = 0, writes = 0;
  std::atomic<bool> is_held = false;

 private:
  class File final : public io::ForwardingFile {
   public:
    File(std::unique_ptr<io::BlockFile> inner, WatchedDisk& disk)
        : ForwardingFile(std::move(inner)), disk_(disk) {}
    bool submit(const io::BlockRequest& request) override {
      if (!inner_->submit(request)) return false;
      if (request.operation == io::BlockOperation::kWrite) {
        ++disk_.writes;
        return true;
      }
      ++disk_.reads;
      const std::lock_guard lock(disk_.mutex_);
      disk_.order_.push_back((request.offset - kHeaderBytes) / kSlotBytes);
      return true;
    }
    std::size_t poll(std::span<io::BlockCompletion> completions, bool wait) override {
      while (disk_.is_held) std::this_thread::yield();
      return inner_->poll(completions, wait);
    }

   private:
    WatchedDisk& disk_;
  };

  std::mutex mutex_;
  std::vector<std::uint64_t> order_;
};

class DiskEngineTest : public ::testing::Test {
 protected:
  DiskEngineTest() { open(); }

  void open(std::uint32_t depth = 8, std::uint64_t limit_bytes = 0) {
    engine_.reset();
    engine_.emplace(backend_, watched_,
                    DiskEngineOptions{.paths = {"/run/table.rows"},
                                      .record_bytes = kRecordBytes,
                                      .table_id = 3,
                                      .table_rows = kRows,
                                      .limit_bytes = limit_bytes,
                                      .open = {.depth = depth}});
  }

  static std::vector<std::byte> record(RowId row, int version = 0) {
    std::vector<std::byte> bytes(kRecordBytes);
    io::SplitMix(row * 100 + static_cast<std::uint64_t>(version)).fill(bytes);
    return bytes;
  }
  void write(RowId row, int version = 0) {
    kernels::SlotId buffer = 0;
    engine_->stage_writes({&buffer, 1});
    std::memcpy(engine_->write_payload(buffer), record(row, version).data(), kRecordBytes);
    if (engine_->submit_writes({&buffer, 1}, {&row, 1}) == 0) engine_->require_slot();
  }
  void write_all(RowId rows) {
    for (RowId row = 0; row < rows; ++row) write(row);
    engine_->finish_writes();
  }

  // Reads rows as a lease does, and looks at each.
  void expect_records(const std::vector<RowId>& rows, int version = 0) {
    std::vector<FinishedRead> finished(16);
    std::size_t started = 0, arrived = 0;
    while (arrived < rows.size()) {
      started += engine_->start_reads(std::span(rows).subspan(started),
                                      static_cast<std::uint32_t>(started));
      const std::size_t count = engine_->finished_reads(finished, 1);
      ASSERT_GT(count, 0u);
      for (std::size_t i = 0; i < count; ++i) {
        const RowId row = rows[finished[i].index];
        EXPECT_EQ(std::memcmp(engine_->staging().record(finished[i].buffer),
                              record(row, version).data(), kRecordBytes),
                  0)
            << "row " << row;
        const kernels::SlotId buffer = finished[i].buffer;
        engine_->release_reads({&buffer, 1});
      }
      arrived += count;
    }
  }

  // Hints of rows [first, first + count), into memory of the test.
  void hint(RowId first, RowId count) {
    std::vector<RowId> rows(count);
    std::iota(rows.begin(), rows.end(), first);
    std::vector<std::byte*> targets;
    for (const RowId row : rows) targets.push_back(target(row));
    engine_->hint(rows, targets);
  }
  // 900 of 1,000 rows are hinted, and the disk is held up while it reads the first four.
  void hint_and_hold() {
    open(4);
    write_all(1000);
    watched_.is_held = true;
    watched_.reads = 0;
    hint(0, 900);
    while (watched_.reads < 4) std::this_thread::yield();
  }
  std::byte* target(RowId row) { return host_.data() + std::size_t{row} * kRecordBytes; }
  bool has(RowId row) { return std::memcmp(target(row), record(row).data(), kRecordBytes) == 0; }
  // Rows that have arrived, in order, until there are `count`.
  std::vector<RowId> arrivals(std::size_t count) {
    std::vector<RowId> rows;
    while (rows.size() < count) {
      engine_->await_hint_event();
      for (const HintEvent& event : engine_->hint_events()) {
        if (event.has_arrived) rows.push_back(event.row);
      }
    }
    return rows;
  }

  kernels::Backend& backend_ = mneme::testing::test_backend();
  io::SimulatedDisk disk_{{.record_log = false}};
  WatchedDisk watched_{disk_};
  std::vector<std::byte> host_ = std::vector<std::byte>(kRows * kRecordBytes);
  std::optional<DiskEngine> engine_;
};

TEST_F(DiskEngineTest, RecordsComeBackAsTheyWere) {
  disk_.set_faults({.short_share = 0.1, .retry_share = 0.1, .reorder = true, .max_delay_polls = 3});
  std::vector<RowId> rows(600);
  std::iota(rows.begin(), rows.end(), 0u);
  for (int version = 0; version < 3; ++version) {
    for (const RowId row : rows) write(row, version);
    expect_records(rows, version);
  }
  EXPECT_GT(engine_->io_retries(), 0u);
  EXPECT_EQ(engine_->asked().rows, 1800u);
}

TEST_F(DiskEngineTest, ARecordOnItsWayToTheDiskIsTakenFromThere) {
  write(0);
  engine_->finish_writes();
  watched_.is_held = true;
  write(1);
  EXPECT_EQ(engine_->start_reads(std::vector<RowId>{1}, 7), 1u);
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  watched_.is_held = false;
  FinishedRead read;
  ASSERT_EQ(engine_->finished_reads({&read, 1}, 1), 1u);
  EXPECT_EQ(read.index, 7u);
  EXPECT_EQ(std::memcmp(engine_->staging().record(read.buffer), record(1).data(), kRecordBytes), 0);
}

TEST_F(DiskEngineTest, HintsArriveWhileNobodyAsks) {
  write_all(300);
  hint(0, 300);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (watched_.reads < 300 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(arrivals(300).size(), 300u);
  for (RowId row = 0; row < 300; ++row) ASSERT_TRUE(has(row));
}

// Transfers of each queue, not those that were copied from a record on its way; each told once.
TEST_F(DiskEngineTest, EveryTransferHasALatency) {
  write_all(40);
  const DiskLatencies wrote = engine_->take_latencies();
  EXPECT_EQ(wrote[DiskQueue::kWriteBack].transfers(), std::uint64_t(watched_.writes) - 1)
      << "all but the header's";
  EXPECT_EQ(wrote[DiskQueue::kDemand].transfers(), 0u);
  std::vector<RowId> rows(30);
  std::iota(rows.begin(), rows.end(), 0u);
  expect_records(rows);
  hint(30, 10);
  EXPECT_EQ(arrivals(10).size(), 10u);
  const DiskLatencies read = engine_->take_latencies();
  EXPECT_EQ(read[DiskQueue::kDemand].transfers(), 30u);
  EXPECT_EQ(read[DiskQueue::kHint].transfers(), 10u);
  EXPECT_EQ(read[DiskQueue::kWriteBack].transfers(), 0u);
  EXPECT_EQ(engine_->take_latencies(), DiskLatencies{});
}

// However many hints wait, a read for a lease stands behind those that are under way alone.
TEST_F(DiskEngineTest, ReadsForALeaseGoBeforeHints) {
  hint_and_hold();
  EXPECT_EQ(engine_->start_reads(std::vector<RowId>{950, 951, 952}, 0), 3u);
  watched_.is_held = false;
  std::vector<FinishedRead> finished(3);
  ASSERT_EQ(engine_->finished_reads(finished, 3), 3u);
  const std::vector<std::uint64_t> order = watched_.order();
  const auto first = std::find(order.begin(), order.end(), 950u);
  ASSERT_LE(first - order.begin(), 4 + 1) << "the header's read, and the hints under way";
  EXPECT_EQ(std::vector(first, first + 3), (std::vector<std::uint64_t>{950, 951, 952}));
}

TEST_F(DiskEngineTest, AHurriedHintGoesBeforeTheOthersAndACancelledOneIsNotRead) {
  hint_and_hold();
  EXPECT_TRUE(engine_->cancel_hint(899));
  EXPECT_FALSE(engine_->cancel_hint(0)) << "is being read";
  engine_->hurry(std::vector<RowId>{800, 700});
  watched_.is_held = false;
  const std::vector<RowId> order = arrivals(899);
  EXPECT_LT(std::find(order.begin(), order.end(), 800) - order.begin(), 12);
  EXPECT_LT(std::find(order.begin(), order.end(), 700) - order.begin(), 12);
  EXPECT_FALSE(has(899));
  for (RowId row = 0; row < 899; ++row) ASSERT_TRUE(has(row));
  hint(899, 1);
  EXPECT_EQ(arrivals(1), std::vector<RowId>{899});
}

// Fresh slots lie one behind the other.
TEST_F(DiskEngineTest, NeighboursGoToTheDiskTogether) {
  write(0);
  engine_->finish_writes();
  watched_.is_held = true;
  write(1);
  while (watched_.writes < 3) std::this_thread::yield();  // with the header
  for (RowId row = 2; row < 102; ++row) write(row);
  const int before = watched_.writes;
  watched_.is_held = false;
  engine_->finish_writes();
  EXPECT_LE(watched_.writes - before, 2);
  std::vector<RowId> rows(102);
  std::iota(rows.begin(), rows.end(), 0u);
  expect_records(rows);
}

TEST_F(DiskEngineTest, TheFileGrowsBeforeItIsFull) {
  write_all(1);
  const std::uint64_t first = engine_->file_bytes();
  EXPECT_GE(first, std::uint64_t{32} << 20);
  // Nearly all of the slots: in the table's few rows again and again.
  const std::uint64_t slots = first / kSlotBytes;
  for (std::uint64_t i = 0; i < slots / kRows + 1; ++i) {
    for (RowId row = 0; row < kRows && engine_->slots() < slots * 3 / 4; ++row) {
      write(row);
      if (row == kRows - 1) {
        engine_->finish_writes();
        engine_->begin_save({});
        engine_->commit(i + 1);
      }
    }
  }
  engine_->finish_writes();
  for (int i = 0; i < 1000 && engine_->file_bytes() == first; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_GT(engine_->file_bytes(), first);
}

TEST_F(DiskEngineTest, WhatWasSubmittedIsWrittenWhenTheEngineEnds) {
  write_all(10);
  for (RowId row = 0; row < 500; ++row) write(row, 1);
  engine_->begin_save({});
  const TableDelta delta = delta_of(engine_->changes());
  engine_.reset();
  open();
  const CheckpointTable table{1, delta.entries, delta.next_generation};
  engine_->restore({&table}, 0);
  std::vector<RowId> rows(500);
  std::iota(rows.begin(), rows.end(), 0u);
  expect_records(rows, 1);
}

TEST_F(DiskEngineTest, AFailedTransferStopsItAndIsNamed) {
  write_all(20);
  disk_.set_faults({.fail_read = 1});
  hint(7, 1);
  std::string error = error_of([&] { arrivals(1); });
  EXPECT_NE(error.find("reading row 7 from slot 7 of /run/table.rows failed"), error.npos) << error;
  EXPECT_EQ(error_of([&] { write(1); }), error) << "it stays so";
  EXPECT_EQ(error_of([&] { engine_->sync(); }), error);
}

TEST_F(DiskEngineTest, AFailedWriteIsToldByTheNextCallAndTheOthersAreWritten) {
  write_all(1);
  watched_.is_held = true;
  write(1);
  while (watched_.writes < 3) std::this_thread::yield();
  disk_.set_faults({.fail_write = 1});
  write(30);
  write(31);
  watched_.is_held = false;
  const std::string error = error_of([&] { engine_->finish_writes(); });
  EXPECT_NE(error.find("writing row 30 to slot 2 of /run/table.rows failed"), error.npos) << error;
  EXPECT_EQ(error_of([&] { engine_->finish_writes(); }), error);
}

TEST_F(DiskEngineTest, ADamagedRecordIsNamedWhoeverReadsIt) {
  for (const bool as_hint : {false, true}) {
    disk_.remove("/run/table.rows");
    open();
    write_all(20);
    engine_->finish_writes();
    disk_.corrupt("/run/table.rows", kHeaderBytes + 5 * kSlotBytes + 100, 3);
    const std::string error = error_of([&] {
      if (as_hint) {
        hint(5, 1);
        arrivals(1);
      } else {
        engine_->start_reads(std::vector<RowId>{5}, 0);
        FinishedRead read;
        engine_->finished_reads({&read, 1}, 1);
      }
    });
    EXPECT_NE(error.find("/run/table.rows: row 5 in disk slot 5 is damaged"), error.npos) << error;
  }
}

TEST_F(DiskEngineTest, WithoutRoomNothingChanges) {
  open(8, 20 * kSlotBytes);
  write_all(20);
  const std::string error = error_of([&] { write(20); });
  EXPECT_NE(error.find("tiers.disk_bytes allows"), error.npos) << error;
  std::vector<RowId> rows(20);
  std::iota(rows.begin(), rows.end(), 0u);
  expect_records(rows);
}

}  // namespace
}  // namespace mneme::offload
