// Records in and out of a tiered store, and room for them on the disk.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <iterator>
#include <numeric>

#include "io/check.h"
#include "io/elapsed.h"
#include "io/progress.h"
#include "offload/catch_up_rows.h"
#include "offload/disk/rows_file.h"
#include "offload/tiered_store.h"

namespace mneme::offload {

using kernels::RowId;
using Clock = std::chrono::steady_clock;

namespace {

constexpr Account kExchangeAccount{Cause::kExchange, kNoLayer};

// What is leased meanwhile is copied in or out, for the trace.
class MovesRecords {
 public:
  explicit MovesRecords(bool& flag) : flag_(flag) { flag_ = true; }
  ~MovesRecords() { flag_ = false; }

 private:
  bool& flag_;
};

}  // namespace

kernels::HostRecords TieredStore::scratch_records() const {
  return kernels::HostRecords::in_one_piece(scratch_.as<std::byte>(), mover_.record_bytes());
}

void TieredStore::write_records(std::span<const RowId> rows,
                                std::span<const std::byte* const> records) {
  CHECK(rows.size() == records.size());
  guarded([&] {
    const MovesRecords moves(moves_records_);
    const auto start = Clock::now();
    for (std::size_t first = 0; first < rows.size();) {
      const auto count = static_cast<std::size_t>(
          std::min<std::int64_t>({scratch_length_, lease_capacity(LeaseMode::kTrain),
                                  static_cast<std::int64_t>(rows.size() - first)}));
      CHECK(count > 0);
      write_batch(rows.subspan(first, count), records.subspan(first, count));
      first += count;
    }
    ledger_.book(kExchangeAccount, Field::kRecordsInTime, io::elapsed_us(start));
  });
}

void TieredStore::write_batch(std::span<const RowId> rows,
                              std::span<const std::byte* const> records) {
  const std::size_t bytes = mover_.record_bytes();
  kernels::Stream& stream = planner_.stream();
  std::copy(rows.begin(), rows.end(), scratch_rows_.data());
  for (std::size_t i = 0; i < records.size(); ++i) {
    std::memcpy(scratch_.as<std::byte>() + i * bytes, records[i], bytes);
  }
  {
    Lease lease = take_lease(stream,
                             {.rows = scratch_rows_.data(),
                              .count = std::ssize(rows),
                              .mode = LeaseMode::kTrain,
                              .account = kExchangeAccount,
                              .changes_rows = true},
                             {});
    backend_.unpack_records(stream, lease.arena(), scratch_records(), nullptr, lease.slots(),
                            lease.count());
    ledger_.book_move(Field::kRecordsInRows, rows.size(), rows.size() * bytes);
    lease.mark_dirty();
  }
  stream.synchronize();
}

void TieredStore::read_records(RowId first, std::int64_t count, std::byte* out) {
  guarded([&] {
    const MovesRecords moves(moves_records_);
    const auto start = Clock::now();
    for (std::int64_t done = 0; done < count;) {
      const std::int64_t batch =
          std::min({scratch_length_, lease_capacity(LeaseMode::kReadOnly), count - done});
      CHECK(batch > 0);
      read_batch(first + static_cast<RowId>(done), batch,
                 out + done * static_cast<std::int64_t>(mover_.record_bytes()));
      done += batch;
    }
    ledger_.book(kExchangeAccount, Field::kRecordsOutTime, io::elapsed_us(start));
  });
}

void TieredStore::read_batch(RowId first, std::int64_t count, std::byte* out) {
  kernels::Stream& stream = planner_.stream();
  auto* rows = scratch_rows_.data();
  std::iota(rows, rows + count, first);
  const auto bytes = static_cast<std::size_t>(count) * mover_.record_bytes();
  {
    const Lease lease = take_lease(
        stream,
        {.rows = rows, .count = count, .mode = LeaseMode::kReadOnly, .account = kExchangeAccount},
        {});
    backend_.pack_records(stream, lease.arena(), scratch_records(), nullptr, lease.slots(), count);
    ledger_.book_move(Field::kRecordsOutRows, static_cast<std::uint64_t>(count), bytes);
  }
  stream.synchronize();
  std::memcpy(out, scratch_.as<std::byte>(), bytes);
}

void TieredStore::read_stored(kernels::Stream& compute, std::span<const RowId> rows,
                              const Currency& currency,
                              const std::function<void(const StoredRows&)>& use) {
  guarded([&] {
    CHECK(options_.read_only && leases_ == 0);
    const auto start = Clock::now();
    const std::vector<TableEntry> entries = disk_.entries(rows);
    if (entries.empty()) return;
    const std::size_t bytes = mover_.record_bytes();
    const auto most =
        static_cast<std::size_t>(std::min(scratch_length_, lease_capacity(LeaseMode::kReadOnly)));
    std::vector<std::size_t> indices;
    const auto hand_out = [&] {
      if (indices.empty()) return;
      const std::int64_t count = std::ssize(indices);
      backend_.unpack_records(compute, mover_.evaluation_arena(), scratch_records(), nullptr,
                              planner_.places(), count);
      catch_up_rows(backend_, compute, mover_.evaluation_arena(), scratch_rows_.data(),
                    planner_.places(), count, currency);
      use({mover_.evaluation_arena(), planner_.places(), indices});
      compute.synchronize();
      indices.clear();
    };
    io::Phase phase("reading the rows", entries.size(), "rows");
    const std::uint64_t read = read_rows_files(
        disk_of_rows(),
        {.paths = options_.paths,
         .shape = rows_file_shape(options_),
         .open = rows_file_options(options_)},
        entries, [&](std::size_t entry, const std::byte* record) {
          const RowId row = entries[entry].row;
          scratch_rows_[std::ssize(indices)] = row;
          std::memcpy(scratch_.as<std::byte>() + indices.size() * bytes, record, bytes);
          const auto at = std::lower_bound(rows.begin(), rows.end(), row);
          indices.push_back(static_cast<std::size_t>(at - rows.begin()));
          phase.add(1);
          if (indices.size() == most) hand_out();
        });
    hand_out();
    ledger_.open(kExchangeAccount);
    ledger_.book_move(Field::kDiskToDeviceRows, entries.size(), read);
    ledger_.book_move(Field::kRecordsOutRows, entries.size(), entries.size() * bytes);
    ledger_.book(Field::kRecordsOutTime, io::elapsed_us(start));
  });
}

std::vector<RowId> TieredStore::copy_rows(const RowId* rows, std::int64_t count) {
  std::vector<RowId> copied;
  copied.reserve(static_cast<std::size_t>(count));
  kernels::Stream& stream = planner_.stream();
  for (std::int64_t first = 0; first < count; first += scratch_length_) {
    const std::int64_t batch = std::min(scratch_length_, count - first);
    backend_.copy(stream, scratch_rows_.data(), rows + first,
                  kernels::DeviceArray<RowId>::bytes(batch));
    stream.synchronize();
    copied.insert(copied.end(), scratch_rows_.data(), scratch_rows_.data() + batch);
  }
  return copied;
}

void TieredStore::require_disk_room(const RowId* rows, std::int64_t count) {
  const std::uint64_t limit = disk_.slot_limit();
  if (limit == 0) return;
  if (!failure_.empty()) io::fail("{}", failure_);
  const std::uint64_t used = disk_.slots() - disk_.free_slots();
  most_dirty_ = std::min(most_dirty_ + static_cast<std::uint64_t>(count), planner_.placed_rows());
  if (used + disk_.unsaved_rows() + most_dirty_ <= limit) return;
  if (snapshot_.is_open()) {
    write_checkpoint();
    return require_disk_room(rows, count);
  }
  const WriteBack::Need need = write_back_.need_with(copy_rows(rows, count));
  most_dirty_ = need.dirty_rows;
  if (used + need.dirty_rows <= limit + need.given_up) return;
  throw DiskBudgetError(fmt::format(
      "tiers.disk_bytes = {} is too small: {} would need {} bytes for the rows that have changed "
      "and those of the checkpoints that are kept",
      options_.tiers.disk_bytes, options_.paths[0],
      (used + need.dirty_rows - need.given_up) * disk_.slot_bytes()));
}

}  // namespace mneme::offload
