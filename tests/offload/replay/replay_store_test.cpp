// Replays of a store's own trace: every count of its books, whatever its tiers and policies, with
// hints, evaluations, checkpoints behind training, chunks, and across a restart.
#include "offload/replay/replay_store.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "io/enum_names.h"
#include "tests/offload/store_run.h"
#include "tests/support/test_backend.h"

namespace mneme::offload::testing {
namespace {

using kernels::ReplacementKind;
using kernels::RowId;

constexpr std::uint64_t kRows = 600;
const std::string kTrace = "/run/trace";

struct Case {
  std::uint64_t device_slots, host_slots;
  ReplacementKind device_policy, host_policy;
};

// Everything but times, and what depends on them: a record that is still on its way to the disk is
// taken from there, and no byte is read.
bool is_count(Field field) {
  return info(field).unit != "microseconds" && field != Field::kHintsLate &&
         field != Field::kDiskRetries && field != Field::kDiskToDeviceBytes &&
         field != Field::kDiskToHostBytes;
}

void expect_same_counts(Books expected, Books found) {
  for (const auto& [account, entry] : expected.entries()) {
    for (const FieldInfo& field : kFields) {
      if (!is_count(field.field)) continue;
      EXPECT_EQ(found[account][field.field], entry[field.field])
          << field.name << " of " << io::name_of(account.cause) << ", layer " << account.layer
          << ", " << io::name_of(account.pass);
    }
  }
  for (const FieldInfo& field : kFields) {
    if (!is_count(field.field)) continue;
    EXPECT_EQ(found.total()[field.field], expected.total()[field.field]) << field.name;
  }
}

Books replayed(io::Disk& disk, const std::optional<TraceTiers>& tiers = {}) {
  const auto backend = kernels::make_cpu_backend({.threads = 1});
  TraceReader reader(disk, kTrace);
  ReplayStore replay(*backend, reader.header(), {.tiers = tiers});
  TraceEvent event;
  while (reader.next(event)) replay.apply(event);
  return replay.books();
}

class Replay : public ::testing::TestWithParam<Case> {
 protected:
  Replay() { disk_.make_directories("/run/rows"); }

  StoreOptions options() const {
    StoreOptions options = small_store(kRows);
    options.tiers.device_bytes = bytes_for_slots(options, GetParam().device_slots);
    options.tiers.evaluation_share = 0.001;
    options.tiers.host_bytes = GetParam().host_slots * 192;
    options.tiers.device_policy = GetParam().device_policy;
    options.tiers.host_policy = GetParam().host_policy;
    options.save_bytes = 64 << 10;
    return options;
  }

  // Random work; `epoch` is the number of the last checkpoint, of which the newest is kept.
  void work(TieredStore& store, std::uint64_t first_step, std::uint64_t steps,
            std::uint64_t& epoch) {
    StoreRun run(backend_, store, first_step);
    std::mt19937_64 random(first_step);
    for (std::uint64_t step = first_step; step < first_step + steps; ++step) {
      run.step(step, 150);
      if (random() % 2 == 0) hint(store, random);
      if (random() % 4 == 0) {
        std::vector<std::byte> records(20 * store.options().layout.record_bytes());
        store.read_records(static_cast<RowId>(random() % (kRows - 20)), 20, records.data());
      }
      if (store_is_saving_) {
        if (!store.checkpoint_is_written() && random() % 2 == 0) continue;
        end_save(store, epoch);
      } else if (random() % 3 == 0) {
        store.begin_checkpoint(epoch + 1);
        store_is_saving_ = true;
        if (random() % 2 == 0) end_save(store, epoch);
      }
    }
    if (store_is_saving_) end_save(store, epoch);
  }
  void end_save(TieredStore& store, std::uint64_t& epoch) {
    store.write_checkpoint();
    store.sync_checkpoint();
    const TableDelta delta = delta_of(store.checkpoint_changes());
    for (const TableEntry& entry : delta.entries) table_[entry.row] = entry;
    next_generation_ = delta.next_generation;
    store.commit_checkpoint(++epoch);
    if (epoch > 1) store.release_checkpoint(epoch - 1);
    store_is_saving_ = false;
  }
  CheckpointTable kept_table(std::uint64_t epoch) const {
    CheckpointTable table{.epoch = epoch, .entries = {}, .next_generation = next_generation_};
    for (const auto& [row, entry] : table_) table.entries.push_back(entry);
    return table;
  }
  void hint(TieredStore& store, std::mt19937_64& random) {
    std::set<RowId> rows;
    for (int i = 0; i < 30; ++i) rows.insert(static_cast<RowId>(random() % kRows));
    std::vector<RowId> list(rows.begin(), rows.end());
    std::shuffle(list.begin(), list.end(), random);
    store.hint({.rows = list,
                .byte_budget = (random() % 40) * store.options().layout.record_bytes(),
                .tier = random() % 3 == 0 ? kernels::Place::kDevice : kernels::Place::kHost,
                .layer = 2});
    store.finish_transfers();
  }

  kernels::Backend& backend_ = mneme::testing::test_backend();
  io::SimulatedDisk disk_{{.record_log = false}};
  bool store_is_saving_ = false;
  // The row -> disk slot table of the last checkpoint.
  std::map<RowId, TableEntry> table_;
  std::uint64_t next_generation_ = 0;
  Books before_;
};

TEST_P(Replay, OfItsOwnTraceGivesEveryCount) {
  std::uint64_t epoch = 0;
  Books expected;
  {
    TieredStore store(backend_, disk_, options());
    store.start_trace(disk_, {kTrace}, 0);
    work(store, 1, 60, epoch);
    store.take_books();
    expected = store.all_books();
  }
  expect_same_counts(expected, replayed(disk_));
}

// The process goes away behind a checkpoint; what it did behind that is cut off the trace. The next
// one has other tiers.
TEST_P(Replay, GoesOnWhereTheRunDoes) {
  std::uint64_t epoch = 0;
  Books expected;
  for (std::uint64_t process = 0; process < 3; ++process) {
    StoreOptions with = options();
    if (process == 1) with.tiers.host_bytes = 300 * 192;
    TieredStore store(backend_, disk_, with);
    if (process > 0) store.restore(std::vector{kept_table(epoch)}, 0);
    store.start_trace(disk_, {kTrace}, epoch);
    work(store, 1 + 20 * process, 15, epoch);
    store.take_books();
    expected += store.all_books();
    if (process == 2) break;
    store.begin_checkpoint(epoch + 1);
    end_save(store, epoch);
  }
  expect_same_counts(expected, replayed(disk_));
}

// With the tiers of another run, the counts of that run.
TEST_P(Replay, OfOtherTiersGivesWhatARunWithThemHas) {
  const auto run = [&](const StoreOptions& with, bool traced) {
    TieredStore store(backend_, disk_, with);
    if (traced) store.start_trace(disk_, {kTrace}, 0);
    StoreRun work(backend_, store, 5);
    std::mt19937_64 random(6);
    for (std::uint64_t step = 1; step <= 50; ++step) {
      work.step(step, 20);
      hint(store, random);
      if (step % 12 == 0) store.flush();
    }
    store.take_books();
    return store.all_books();
  };
  StoreOptions other = options();
  other.paths = {"/run/rows/table-1.rows"};
  other.tiers.device_bytes = bytes_for_slots(other, 30);
  other.tiers.host_bytes = 40 * 192;
  other.tiers.device_policy = other.tiers.host_policy = ReplacementKind::kLru;
  run(other, true);
  TraceReader reader(disk_, kTrace);
  TraceEvent start;
  ASSERT_TRUE(reader.next(start));
  const StoreOptions mine = options();
  const SlotBytes bytes = slot_bytes_with(
      mine.tiers, {start.tiers.device_slot_bytes, start.tiers.host_slot_bytes}, other.tiers);
  EXPECT_EQ(bytes.device, slot_bytes(mine).device);
  const TierSizes sizes = tier_sizes(bytes, kRows, mine.tiers);
  TraceTiers tiers = start.tiers;
  tiers.device_slots = sizes.training;
  tiers.evaluation_slots = sizes.evaluation;
  tiers.host_slots = sizes.host;
  tiers.device_policy = mine.tiers.device_policy;
  tiers.host_policy = mine.tiers.host_policy;
  expect_same_counts(run(mine, false), replayed(disk_, tiers));
}

// Of 16 rows and 8 slots a forward pass leaves the last 8 there. A backward pass begins with them,
// unless it goes upwards.
TEST(ReplayInParts, ABackwardPassThatAscendsFindsNothingOfTheForwardPass) {
  for (const bool ascending : {false, true}) {
    const auto backend = kernels::make_cpu_backend({.threads = 1});
    ReplayStore replay(*backend, {.table = 0, .rows = 16, .run_id = 0, .seed = 1});
    TraceEvent start{.kind = TraceKind::kStart};
    start.tiers = {.device_slots = 8,
                   .evaluation_slots = 8,
                   .host_slots = 0,
                   .record_bytes = 64,
                   .disks = 1,
                   .transfer_rows = 64};
    replay.apply(start);
    replay.apply({.kind = TraceKind::kStep, .number = 1});
    TraceEvent lease{.kind = TraceKind::kLease};
    for (std::uint32_t row = 0; row < 16; ++row) lease.list.push_back(row);
    const Account backward{Cause::kTraining, 0, Pass::kBackward};
    for (const Pass pass : {Pass::kForward, Pass::kBackward}) {
      ++lease.number;
      lease.account = {Cause::kTraining, 0, pass};
      lease.ascending = ascending && pass == Pass::kBackward;
      replay.apply(lease);
      replay.apply({.kind = TraceKind::kEndLease, .number = lease.number});
    }
    EXPECT_EQ(replay.books()[backward][Field::kFoundOnDevice], ascending ? 0u : 8u);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Tiers, Replay,
    ::testing::Values(Case{40, 60, ReplacementKind::kLru, ReplacementKind::kLru},
                      Case{64, 0, ReplacementKind::kLru, ReplacementKind::kLru},
                      Case{20, 16, ReplacementKind::kLfu, ReplacementKind::kSieve},
                      Case{100, 200, ReplacementKind::kClock, ReplacementKind::kLfu},
                      Case{50, 50, ReplacementKind::kStaticHot, ReplacementKind::kRandom},
                      Case{700, 700, ReplacementKind::kSieve, ReplacementKind::kClock}),
    [](const auto& test) {
      return fmt::format("d{}h{}", test.param.device_slots, test.param.host_slots);
    });

}  // namespace
}  // namespace mneme::offload::testing
