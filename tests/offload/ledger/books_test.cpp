// Promise 6: the books are what an observer below the store has seen, to the row and byte, and each
// cause pays for its own.
#include "offload/ledger/books.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <set>

#include "tests/offload/ledger/movement_observer.h"
#include "tests/offload/store_run.h"
#include "tests/support/error_of.h"
#include "tests/support/test_backend.h"

namespace mneme::offload {
namespace {

using kernels::Place;
using kernels::RowId;
using testing::bytes_for_slots;
using testing::Movements;
using testing::Seen;

constexpr std::uint64_t kRows = 400;
constexpr std::int64_t kMostRows = 60;

Seen booked(const Entry& entry, Field rows) {
  return {entry[rows], entry[Ledger::bytes_of(rows)]};
}

class BooksTest : public ::testing::Test {
 protected:
  static StoreOptions options(std::uint64_t device_slots, std::uint64_t host_slots) {
    StoreOptions options = testing::small_store(kRows);
    options.layout = kernels::RecordLayout::of({.columns = kernels::ColumnRange::all(10)});
    options.tiers.device_bytes = bytes_for_slots(options, device_slots);
    options.tiers.host_bytes = host_slots * ((options.layout.record_bytes() + 63) / 64 * 64);
    return options;
  }

  void open(const StoreOptions& options) {
    const std::size_t record = options.layout.record_bytes();
    ASSERT_NE(record % 64, 0u) << "host tier and caller cannot be told apart";
    backend_.expect({.host_tier = (record + 63) / 64 * 64, .staging = 512, .caller = record});
    store_.emplace(backend_, disk_, options);
    seen_ = {};
  }

  std::vector<RowId> draw(std::int64_t most) {
    std::set<RowId> rows;
    const auto count = 1 + random_() % static_cast<std::uint64_t>(most);
    while (rows.size() < count) {
      // Half of them from a hot eighth.
      rows.insert(static_cast<RowId>(random_() % (random_() % 2 == 0 ? kRows / 8 : kRows)));
    }
    return {rows.begin(), rows.end()};
  }

  void lease(LeaseMode mode, const Account& account, bool dirty) {
    const std::vector<RowId> rows = draw(std::min(kMostRows, store_->lease_capacity(mode)));
    std::copy(rows.begin(), rows.end(), list_.data());
    {
      Lease lease = store_->acquire(
          *stream_,
          {.rows = list_.data(), .count = std::ssize(rows), .mode = mode, .account = account}, {});
      if (dirty) lease.mark_dirty();
    }
    stream_->synchronize();
    expected_leased_ = rows.size();
  }

  // One thing that a run does; the cause that it is booked to.
  Cause act(std::uint64_t what) {
    expected_leased_ = 0;
    switch (what) {
      case 0:
        store_->begin_step(++step_);
        [[fallthrough]];
      case 1:
      case 2:
        lease(LeaseMode::kTrain, {Cause::kTraining, static_cast<std::int32_t>(what)},
              random_() % 8 != 0);
        return Cause::kTraining;
      case 3:
        lease(LeaseMode::kReadOnly, {Cause::kEvaluation, 1}, false);
        return Cause::kEvaluation;
      case 4:
        lease(LeaseMode::kReadOnly, {Cause::kSampling, 2}, false);
        return Cause::kSampling;
      case 5:
        store_->flush();
        store_->commit_checkpoint(++epoch_);
        if (epoch_ > 2) store_->release_checkpoint(epoch_ - 2);
        return Cause::kCheckpoint;
      case 6:
      case 7: {
        const std::vector<RowId> rows = draw(kMostRows);
        store_->hint({.rows = rows,
                      .byte_budget = random_() % 4000,
                      .tier = what == 6 ? Place::kHost : Place::kDevice,
                      .layer = 1});
        return Cause::kPrefetch;
      }
      default: {
        std::vector<std::byte> records(20 * store_->options().layout.record_bytes());
        store_->read_records(static_cast<RowId>(random_() % (kRows - 20)), 20, records.data());
        expected_leased_ = 20;
        return Cause::kExchange;
      }
    }
  }

  // What reads of hints take goes on under any call, and is booked to them.
  void expect_books(Cause cause, const Books& books) {
    const Entry mine = books.total(cause), all = books.total();
    EXPECT_EQ(booked(mine, Field::kHostToDeviceRows), seen_.from_host_tier);
    EXPECT_EQ(booked(mine, Field::kGeneratedRows), seen_.generated);
    EXPECT_EQ(booked(mine, Field::kDeviceCopyRows), seen_.copied);
    EXPECT_EQ(booked(mine, Field::kDeviceToHostRows), seen_.to_host_tier);
    EXPECT_EQ(booked(mine, Field::kRecordsInRows), seen_.from_caller);
    EXPECT_EQ(booked(mine, Field::kRecordsOutRows), seen_.to_caller);
    EXPECT_EQ(mine[Field::kDiskToDeviceRows], seen_.from_staging.rows);
    EXPECT_EQ(mine[Field::kDeviceToDiskRows], seen_.to_staging.rows);
    EXPECT_EQ(mine.disk_rows_written(), seen_.disk_writes.rows);
    EXPECT_EQ(mine.disk_bytes_written(), seen_.disk_writes.bytes);
    EXPECT_EQ(all.disk_bytes_read(), seen_.disk_reads.bytes);
    EXPECT_EQ(mine[Field::kRowsLeased], expected_leased_);
    EXPECT_EQ(mine[Field::kRowsLeased], mine[Field::kFoundOnDevice] + mine[Field::kFoundInHost] +
                                            mine[Field::kFoundOnDisk] +
                                            mine[Field::kFoundUntouched]);
    EXPECT_EQ(mine[Field::kHinted],
              mine[Field::kHintsPresent] + mine[Field::kHintsPlanned] + mine[Field::kHintsDropped]);
    // Nobody else is charged for it.
    Entry others = books.total(Cause::kPrefetch);
    for (const auto& [account, entry] : books.entries()) {
      if (account.cause == cause || account.cause == Cause::kPrefetch) continue;
      EXPECT_EQ(entry, Entry()) << "booked to " << io::name_of(account.cause);
    }
    if (cause != Cause::kPrefetch) {
      EXPECT_EQ(others.rows_fetched(), 0u);
      EXPECT_EQ(others.disk_rows_written(), 0u);
    }
  }

  kernels::Backend& inner_ = mneme::testing::test_backend();
  Movements seen_;
  io::SimulatedDisk simulated_{{.record_log = false}};
  testing::ObservingBackend backend_{inner_, seen_};
  testing::ObservingDisk disk_{simulated_, seen_};
  std::optional<TieredStore> store_;
  std::unique_ptr<kernels::Stream> stream_ = inner_.create_stream();
  kernels::DeviceArray<RowId> list_ = kernels::pinned_array<RowId>(inner_, kMostRows);
  std::mt19937_64 random_{17};
  std::uint64_t step_ = 0, epoch_ = 0;
  std::uint64_t expected_leased_ = 0;
};

TEST_F(BooksTest, AreWhatAnObserverBelowTheStoreHasSeen) {
  for (const std::uint64_t host_slots : {0u, 16u, 90u}) {
    open(options(70, host_slots));
    simulated_.set_faults(
        {.short_share = 0.1, .retry_share = 0.1, .reorder = true, .max_delay_polls = 3});
    Entry all;
    Books taken;
    for (int i = 0; i < 600 && !HasFailure(); ++i) {
      SCOPED_TRACE(::testing::Message() << host_slots << " host slots, action " << i);
      seen_ = {};
      const Cause cause = act(random_() % 9);
      store_->finish_transfers();
      const Books books = store_->take_books();
      expect_books(cause, books);
      all += books.total();
      // What hints have brought is used, wasted, or still there.
      EXPECT_EQ(all[Field::kHintsPlanned] - all[Field::kHintsPromoted],
                all[Field::kHintsUsed] + all[Field::kHintsWasted] + backend_.hinted_rows(*stream_));
      taken += books;
    }
    EXPECT_EQ(store_->all_books().entries(), taken.entries());
    // Whatever there is to book was booked.
    EXPECT_GT(all[Field::kHostToDeviceRows] + all[Field::kDiskToDeviceRows], 0u);
    EXPECT_GT(all[Field::kDeviceVictims], 0u);
    EXPECT_GT(all[Field::kDropped], 0u);
    EXPECT_GT(all[Field::kDiskRetries], 0u);
    if (host_slots > 0) {
      EXPECT_GT(all[Field::kHintsPlanned], 0u);
      EXPECT_GT(all[Field::kHintsUsed], 0u);
      EXPECT_GT(all[Field::kHintsDropped], 0u);
      EXPECT_GT(all[Field::kDeviceToHostRows], 0u);
      EXPECT_GT(all[Field::kHostToDiskRows], 0u);
      EXPECT_GT(all[Field::kHintsPromoted], 0u);
      EXPECT_GT(all[Field::kHintsWasted], 0u);
    } else {
      EXPECT_GT(all[Field::kDeviceToDiskRows], 0u);
    }
    store_.reset();
    simulated_.set_faults({});
    simulated_.remove(options(70, 0).paths[0]);
  }
}

// A disk that fails ends the store in the middle of whatever it does; what was asked of the disk
// until then is booked all the same.
TEST_F(BooksTest, HoldWhatWasAskedOfADiskThatFails) {
  for (std::uint64_t n = 1; n <= 60; n += 3) {
    for (const bool reads : {false, true}) {
      SCOPED_TRACE(::testing::Message() << (reads ? "read " : "write ") << n);
      open(options(40, 16));
      simulated_.set_faults({.fail_read = reads ? n : 0, .fail_write = reads ? 0 : n});
      std::string error;
      for (int i = 0; i < 400 && error.empty(); ++i) {
        error = mneme::testing::error_of([&] { act(random_() % 9); });
      }
      ASSERT_FALSE(error.empty());
      const Entry all = store_->books().total();
      EXPECT_EQ(all.disk_bytes_read(), seen_.disk_reads.bytes);
      EXPECT_EQ(all.disk_bytes_written(), seen_.disk_writes.bytes);
      EXPECT_EQ(all[Field::kHostToDeviceRows], seen_.from_host_tier.rows);
      store_.reset();
      simulated_.set_faults({});
      simulated_.remove(options(40, 0).paths[0]);
    }
  }
}

TEST(Books, AddUpByAccountAndCause) {
  Books books, more;
  books[{Cause::kTraining, 1}][Field::kLeases] = 3;
  more[{Cause::kTraining, 1}][Field::kLeases] = 4;
  more[{Cause::kTraining, 2}][Field::kLeases] = 5;
  more[{Cause::kEvaluation, 1}][Field::kLeases] = 6;
  books += more;
  EXPECT_EQ((books[{Cause::kTraining, 1}][Field::kLeases]), 7u);
  EXPECT_EQ(books.total(Cause::kTraining)[Field::kLeases], 12u);
  EXPECT_EQ(books.total()[Field::kLeases], 18u);
}

}  // namespace
}  // namespace mneme::offload
