// Rows spread over files on several disks: the same rows as with one, by speed and room.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <map>
#include <numeric>
#include <optional>
#include <thread>

#include "io/error.h"
#include "io/forwarding_disk.h"
#include "io/random.h"
#include "offload/disk/rows_file.h"
#include "tests/offload/store_run.h"
#include "tests/support/error_of.h"
#include "tests/support/test_backend.h"

namespace mneme::offload {
namespace {

using kernels::RowId;
using mneme::testing::error_of;

const std::vector<std::string> kPaths = {"/a/table.rows", "/b/table.rows", "/c/table.rows"};

// Disks of which one may be held up, or take no more than it has.
class Disks final : public io::ForwardingDisk {
 public:
  using ForwardingDisk::ForwardingDisk;
  std::unique_ptr<io::BlockFile> open(const std::string& path,
                                      const io::OpenOptions& options) override {
    return std::make_unique<File>(inner_.open(path, options), *this, path.substr(0, 2));
  }
  std::string held, full;

 private:
  class File final : public io::ForwardingFile {
   public:
    File(std::unique_ptr<io::BlockFile> inner, Disks& disks, std::string disk)
        : ForwardingFile(std::move(inner)), disks_(disks), disk_(std::move(disk)) {}
    std::size_t poll(std::span<io::BlockCompletion> completions, bool wait) override {
      while (disks_.is_held_ && disks_.held == disk_) std::this_thread::yield();
      return inner_->poll(completions, wait);
    }
    void reserve(std::uint64_t bytes) override {
      if (disks_.full == disk_ && bytes > std::uint64_t{4096 + 30 * 512}) {
        io::fail("{}: the disk is full", path());
      }
      inner_->reserve(bytes);
    }

   private:
    Disks& disks_;
    std::string disk_;
  };

 public:
  std::atomic<bool> is_held_ = false;
};

class SeveralDisks : public ::testing::Test {
 protected:
  static StoreOptions options(std::vector<std::string> paths) {
    StoreOptions options = testing::small_store(400);
    options.tiers.device_bytes = testing::bytes_for_slots(options, 70);
    options.tiers.host_bytes = 40 * 128;
    options.paths = std::move(paths);
    return options;
  }

  DiskEngineOptions engine_options() const {
    return {.paths = kPaths,
            .record_bytes = 128,
            .table_id = 9,
            .table_rows = 5000,
            .open = {.depth = 4}};
  }
  static void write(DiskEngine& engine, RowId first, RowId count) {
    for (RowId row = first; row < first + count; ++row) {
      kernels::SlotId buffer = 0;
      engine.stage_writes({&buffer, 1});
      std::vector<std::byte> bytes(128);
      io::SplitMix(row).fill(bytes);
      std::memcpy(engine.write_payload(buffer), bytes.data(), bytes.size());
      if (engine.submit_writes({&buffer, 1}, {&row, 1}) == 0) engine.require_slot();
    }
  }
  static void expect_rows(DiskEngine& engine, RowId count) {
    std::vector<RowId> rows(count);
    std::iota(rows.begin(), rows.end(), 0u);
    std::vector<FinishedRead> finished(8);
    for (std::size_t started = 0, arrived = 0; arrived < rows.size();) {
      started +=
          engine.start_reads(std::span(rows).subspan(started), static_cast<std::uint32_t>(started));
      const std::size_t these = engine.finished_reads(finished, 1);
      for (std::size_t i = 0; i < these; ++i) {
        std::vector<std::byte> bytes(128);
        io::SplitMix(rows[finished[i].index]).fill(bytes);
        EXPECT_EQ(std::memcmp(engine.staging().record(finished[i].buffer), bytes.data(), 128), 0);
        const kernels::SlotId buffer = finished[i].buffer;
        engine.release_reads({&buffer, 1});
      }
      arrived += these;
    }
  }
  // Records of each file.
  static std::vector<int> spread(DiskEngine& engine) {
    std::vector<int> counts(kPaths.size());
    engine.begin_save({});
    for (const TableEntry& entry : delta_of(engine.changes()).entries) {
      ++counts[entry.slot % kPaths.size()];
    }
    return counts;
  }

  kernels::Backend& backend_ = mneme::testing::test_backend();
  io::SimulatedDisk simulated_{{.record_log = false}};
  Disks disks_{simulated_};
};

TEST_F(SeveralDisks, HoldTheRowsThatOneHolds) {
  simulated_.set_faults(
      {.short_share = 0.1, .retry_share = 0.1, .reorder = true, .max_delay_polls = 3});
  std::optional<std::vector<std::byte>> expected;
  for (std::size_t count = 1; count <= kPaths.size(); ++count) {
    SCOPED_TRACE(count);
    for (const std::string& path : kPaths) simulated_.remove(path);
    const StoreOptions these = options({kPaths.begin(), kPaths.begin() + std::ptrdiff_t(count)});
    std::vector<CheckpointTable> kept;
    std::vector<std::byte> records;
    {
      TieredStore store(backend_, disks_, these);
      testing::StoreRun run(backend_, store, 3);
      for (std::uint64_t step = 1; step <= 40; ++step) run.step(step, 60);
      const TableDelta delta = store.flush();
      store.commit_checkpoint(1);
      kept.push_back({1, delta.entries, delta.next_generation});
      records = run.all_records();
    }
    if (!expected) expected = records;
    EXPECT_EQ(records, *expected);
    std::map<std::uint32_t, int> files;
    for (const TableEntry& entry : kept[0].entries) {
      ++files[entry.slot % static_cast<std::uint32_t>(count)];
    }
    EXPECT_EQ(files.size(), count) << "every disk has some";
    const VerifiedRows verified = verify_rows_files(
        disks_, {these.paths, rows_file_shape(these), rows_file_options(these)}, kept);
    EXPECT_EQ(verified.records, kept[0].entries.size());
    TieredStore again(backend_, disks_, these);
    again.restore(kept, 0);
    EXPECT_EQ(testing::StoreRun(backend_, again, 3).all_records(), *expected);
  }
}

TEST_F(SeveralDisks, ASlowOneGetsFewerRecords) {
  DiskEngine engine(backend_, disks_, engine_options());
  write(engine, 0, 30);
  engine.finish_writes();
  disks_.held = "/b";
  disks_.is_held_ = true;
  write(engine, 30, 4000);
  disks_.is_held_ = false;
  engine.finish_writes();
  const std::vector<int> counts = spread(engine);
  EXPECT_LT(counts[1], 1100) << "what its buffers hold";
  EXPECT_GT(counts[0] + counts[2], 2900);
  expect_rows(engine, 4030);
}

TEST_F(SeveralDisks, WhenOneIsFullTheOthersTakeItsRecords) {
  disks_.full = "/b";
  DiskEngine engine(backend_, disks_, engine_options());
  write(engine, 0, 3000);
  engine.finish_writes();
  EXPECT_EQ(spread(engine)[1], 30);
  expect_rows(engine, 3000);
}

TEST_F(SeveralDisks, TheLimitIsOfAllTogether) {
  DiskEngineOptions limited = engine_options();
  limited.limit_bytes = 300 * 512;
  DiskEngine engine(backend_, disks_, limited);
  write(engine, 0, 300);
  const std::string error = error_of([&] { write(engine, 300, 1); });
  EXPECT_NE(error.find("tiers.disk_bytes allows"), error.npos) << error;
  expect_rows(engine, 300);
}

TEST_F(SeveralDisks, NoneIsTakenForAnother) {
  TableDelta delta;
  {
    DiskEngine engine(backend_, disks_, engine_options());
    write(engine, 0, 100);
    engine.finish_writes();
    engine.begin_save({});
    delta = delta_of(engine.changes());
  }
  const CheckpointTable table{1, delta.entries, delta.next_generation};
  const auto opening = [&](std::vector<std::string> paths) {
    DiskEngineOptions other = engine_options();
    other.paths = std::move(paths);
    return error_of([&] { DiskEngine(backend_, disks_, other).restore({&table}, 0); });
  };
  EXPECT_EQ(opening(kPaths), "");
  EXPECT_NE(opening({kPaths[1], kPaths[0], kPaths[2]}).find(" belongs to another table"),
            std::string::npos);
  EXPECT_NE(opening({kPaths[0], kPaths[1]}).find(" belongs to another table"), std::string::npos);
  EXPECT_NE(opening({kPaths[0], kPaths[1], "/c/lost.rows"}).find("/c/lost.rows: is missing"),
            std::string::npos);
  EXPECT_NE(opening({kPaths[0], kPaths[1], "/d/x.rows"}).find("/d: there is no such folder"),
            std::string::npos);
}

TEST_F(SeveralDisks, OneThatFailsIsNamed) {
  DiskEngine engine(backend_, disks_, engine_options());
  write(engine, 0, 60);
  engine.finish_writes();
  simulated_.corrupt(kPaths[2], 4096 + 3 * 512 + 100, 1);
  const std::string error = error_of([&] { expect_rows(engine, 60); });
  EXPECT_NE(error.find("/c/table.rows: row "), error.npos) << error;
  EXPECT_NE(error.find("in disk slot 3 is damaged"), error.npos) << error;
}

}  // namespace
}  // namespace mneme::offload
