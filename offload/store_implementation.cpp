#include "offload/store_implementation.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <numeric>
#include <utility>

#include "io/check.h"
#include "io/error.h"
#include "io/progress.h"
#include "offload/rows_file.h"

namespace mneme::offload {

using kernels::MemoryKind;
using kernels::RowId;
using kernels::SlotId;

DeviceTierOptions device_tier_options(const StoreOptions& options) {
  const TierOptions& tiers = options.tiers;
  return {.table_rows = options.rows,
          .bytes = tiers.device_bytes,
          .evaluation_share = tiers.evaluation_share,
          .layout = options.layout,
          .policy = tiers.device_policy,
          .counts = use_counts(tiers.device_policy, tiers.host_policy),
          .seed = options.seed};
}

HostTierOptions host_tier_options(const StoreOptions& options) {
  const TierOptions& tiers = options.tiers;
  return {.table_rows = options.rows,
          .bytes = tiers.host_bytes,
          .record_bytes = options.layout.record_bytes(),
          .policy = tiers.host_policy,
          .counts = use_counts(tiers.device_policy, tiers.host_policy),
          .seed = options.seed};
}

namespace {

// Rows that are read or written as records in one go.
constexpr std::int64_t kScratchRows = 4096;

io::OpenOptions open_options(const StoreOptions& options) {
  const TierOptions& tiers = options.tiers;
  io::OpenOptions open;
  open.read_only = options.read_only;
  open.direct = tiers.direct_io;
  open.depth = tiers.io_depth;
  open.engine = tiers.io_engine;
  return open;
}

// Transfers of 32 MiB are long enough for the bus and short enough to start the other direction
// soon.
std::int64_t chunk_rows(const kernels::RecordLayout& layout) {
  constexpr std::size_t kChunkBytes = std::size_t{32} << 20;
  return static_cast<std::int64_t>(
      std::clamp<std::size_t>(kChunkBytes / layout.record_bytes(), 64, 16384));
}

Tiers make_tiers(kernels::Backend& backend, kernels::Stream& stream, io::Disk& disk,
                 const StoreOptions& options) {
  const TierOptions& tiers = options.tiers;
  const std::size_t record_bytes = options.layout.record_bytes();
  Residency residency(backend, options.rows);
  DeviceTierOptions device = device_tier_options(options);
  HostTierOptions host = host_tier_options(options);
  device.locations = host.locations = residency.locations();
  return {.backend = backend,
          .stream = stream,
          .residency = std::move(residency),
          .device = DeviceTier(backend, stream, device),
          .host = HostTier(backend, stream, host),
          .disk = DiskTier(backend, disk,
                           {.path = options.path,
                            .record_bytes = static_cast<std::uint32_t>(record_bytes),
                            .table_id = rows_file_shape(options).table_id,
                            .limit_bytes = tiers.disk_bytes,
                            .open = open_options(options)}),
          .transfers = RowTransfers(backend, chunk_rows(options.layout)),
          .counters = {},
          .record_bytes = record_bytes,
          .changed_rows = ChangedRows(options.rows)};
}

}  // namespace

TieredStore::Implementation::Implementation(kernels::Backend& backend, io::Disk& disk,
                                            const StoreOptions& options)
    : options_(options),
      backend_(backend),
      stream_(backend.create_stream(kernels::StreamPriority::kHigh)),
      event_(backend.create_event()),
      init_{options.seed, options.table, options.initial_standard_deviation},
      tiers_(make_tiers(backend, *stream_, disk, options)),
      write_back_(tiers_),
      prefetch_(tiers_, write_back_),
      page_in_(tiers_, prefetch_),
      plan_(tiers_, write_back_),
      stalls_(backend),
      host_link_(options.tiers.host_link_bytes_per_second),
      disk_link_(options.tiers.disk_link_bytes_per_second),
      counters_ready_(backend.create_event()) {
  const std::int64_t evaluation = tiers_.device.evaluation_slots();
  evaluation_slots_ = {backend, evaluation};
  evaluation_found_ = {backend, evaluation};
  scratch_length_ = std::min(kScratchRows, evaluation);
  scratch_ = backend.allocate(static_cast<std::size_t>(scratch_length_) * tiers_.record_bytes,
                              MemoryKind::kPinnedHost);
  scratch_rows_ = kernels::pinned_array<RowId>(backend, scratch_length_);
  number_evaluation_slots();
}

void TieredStore::Implementation::number_evaluation_slots() {
  auto* numbers = scratch_rows_.data();
  const std::int64_t slots = tiers_.device.evaluation_slots();
  for (std::int64_t first = 0; first < slots; first += scratch_length_) {
    const std::int64_t count = std::min(scratch_length_, slots - first);
    for (std::int64_t i = 0; i < count; ++i) numbers[i] = static_cast<SlotId>(first + i);
    backend_.copy(*stream_, evaluation_slots_.data() + first, numbers,
                  static_cast<std::size_t>(count) * sizeof(SlotId));
    stream_->synchronize();
  }
}

TieredStore::Implementation::~Implementation() {
  CHECK(leases_.empty() || !failure_.empty(), "a lease outlives its store");
  try {
    // Reads of prefetches that are still on their way are drained with the disk tier.
    stream_->synchronize();
    tiers_.transfers.synchronize();
  } catch (const std::exception&) {
    // A failed transfer was or will be reported by the call that needs it.
  }
}

void TieredStore::Implementation::begin_step(std::uint64_t step) {
  total_ += counters();
  guarded([&] {
    tiers_.counters = {};
    retries_before_step_ = tiers_.disk.io_retries();
    tiers_.step = step;
    prefetch_.advance();
  });
}

void TieredStore::Implementation::prefetch(std::span<const RowId> rows, std::uint64_t byte_budget) {
  guarded([&] { prefetch_.request(rows, byte_budget); });
}

void TieredStore::Implementation::require_disk_room(const RowId* rows, std::int64_t count) {
  const std::uint64_t limit = tiers_.disk.slot_limit();
  if (limit == 0) return;
  if (!failure_.empty()) io::fail("{}", failure_);
  const std::uint64_t used = tiers_.disk.slots().slots() - tiers_.disk.slots().free_slots();
  most_dirty_ = std::min(most_dirty_ + static_cast<std::uint64_t>(count), placed_rows_);
  if (used + most_dirty_ <= limit) return;
  const WriteBack::Need need = write_back_.need_with(copy_rows(rows, count));
  most_dirty_ = need.dirty_rows;
  if (used + need.dirty_rows <= limit + need.given_up) return;
  throw DiskBudgetError(
      fmt::format("tiers.disk_bytes = {} is too small: {} would need {} bytes for the rows that "
                  "have changed and "
                  "those of the checkpoints that are kept",
                  options_.tiers.disk_bytes, options_.path,
                  (used + need.dirty_rows - need.given_up) * tiers_.disk.slot_bytes()));
}

std::vector<RowId> TieredStore::Implementation::copy_rows(const RowId* rows, std::int64_t count) {
  std::vector<RowId> copied;
  copied.reserve(static_cast<std::size_t>(count));
  for (std::int64_t first = 0; first < count; first += scratch_length_) {
    const std::int64_t batch = std::min(scratch_length_, count - first);
    backend_.copy(*stream_, scratch_rows_.data(), rows + first,
                  kernels::DeviceArray<RowId>::bytes(batch));
    stream_->synchronize();
    copied.insert(copied.end(), scratch_rows_.data(), scratch_rows_.data() + batch);
  }
  return copied;
}

kernels::HostRecords TieredStore::Implementation::scratch_records() const {
  return kernels::HostRecords::in_one_piece(scratch_.as<std::byte>(), tiers_.record_bytes);
}

void TieredStore::Implementation::write_records(std::span<const RowId> rows,
                                                std::span<const std::byte* const> records) {
  CHECK(rows.size() == records.size());
  guarded([&] {
    for (std::size_t first = 0; first < rows.size();) {
      const auto count = static_cast<std::size_t>(
          std::min<std::int64_t>({scratch_length_, capacity(LeaseMode::kTrain),
                                  static_cast<std::int64_t>(rows.size() - first)}));
      CHECK(count > 0);
      write_batch(rows.subspan(first, count), records.subspan(first, count));
      first += count;
    }
  });
}

void TieredStore::Implementation::write_batch(std::span<const RowId> rows,
                                              std::span<const std::byte* const> records) {
  std::copy(rows.begin(), rows.end(), scratch_rows_.data());
  for (std::size_t i = 0; i < records.size(); ++i) {
    std::memcpy(scratch_.as<std::byte>() + i * tiers_.record_bytes, records[i],
                tiers_.record_bytes);
  }
  {
    Lease lease(acquire(*stream_, scratch_rows_.data(), std::ssize(rows), LeaseMode::kTrain, {}));
    backend_.unpack_records(*stream_, lease.arena(), scratch_records(), nullptr, lease.slots(),
                            lease.count());
    lease.mark_dirty();
  }
  stream_->synchronize();
}

void TieredStore::Implementation::read_records(RowId first, std::int64_t count, std::byte* out) {
  guarded([&] {
    for (std::int64_t done = 0; done < count;) {
      const std::int64_t batch =
          std::min({scratch_length_, capacity(LeaseMode::kReadOnly), count - done});
      CHECK(batch > 0);
      read_batch(first + static_cast<RowId>(done), batch,
                 out + done * std::int64_t(tiers_.record_bytes));
      done += batch;
    }
  });
}

void TieredStore::Implementation::read_batch(RowId first, std::int64_t count, std::byte* out) {
  auto* rows = scratch_rows_.data();
  std::iota(rows, rows + count, first);
  {
    const Lease lease(acquire(*stream_, rows, count, LeaseMode::kReadOnly, {}));
    backend_.pack_records(*stream_, lease.arena(), scratch_records(), nullptr, lease.slots(),
                          count);
  }
  stream_->synchronize();
  std::memcpy(out, scratch_.as<std::byte>(), static_cast<std::size_t>(count) * tiers_.record_bytes);
}

TableDelta TieredStore::Implementation::flush() {
  return guarded([&] {
    CHECK(leases_.empty() && !read_only_lease_live_, "flush while rows are leased");
    prefetch_.finish();
    write_back_.flush();
    most_dirty_ = 0;
    tiers_.disk.slots().seal();
    const RowSet& changed = tiers_.changed_rows.report();
    TableDelta delta;
    delta.entries.reserve(changed.count());
    changed.for_each([&](RowId row) {
      const std::uint32_t slot = tiers_.residency.disk_slot(row);
      delta.entries.push_back({row, slot, tiers_.disk.generation(slot)});
    });
    delta.next_generation = tiers_.disk.next_generation();
    delta.file_slots = tiers_.disk.slots().slots();
    return delta;
  });
}

void TieredStore::Implementation::commit(std::uint64_t epoch) {
  guarded([&] {
    tiers_.changed_rows.commit();
    tiers_.disk.slots().commit(epoch);
  });
}

void TieredStore::Implementation::restore(std::span<const CheckpointTable> kept,
                                          std::size_t current) {
  guarded([&] {
    CHECK(current < kept.size() && total_.leases == 0 && tiers_.counters.leases == 0);
    const bool any = std::any_of(kept.begin(), kept.end(), [](const CheckpointTable& table) {
      return !table.entries.empty();
    });
    if (!any) return;  // nothing was ever written: there is no file
    std::vector<const CheckpointTable*> tables;
    for (const CheckpointTable& table : kept) tables.push_back(&table);
    tiers_.disk.restore(tables, current);
    place_on_disk(kept[current].entries);
  });
}

void TieredStore::Implementation::place_on_disk(std::span<const TableEntry> entries) {
  auto* rows = scratch_rows_.data();
  std::int64_t listed = 0;
  const auto place_listed = [&] {
    backend_.place_on_disk(*stream_, tiers_.residency.locations(), rows, listed);
    stream_->synchronize();
    listed = 0;
  };
  io::Phase phase("finding the rows", entries.size(), "rows");
  for (const TableEntry& entry : entries) {
    phase.add(1);
    if (entry.row >= options_.rows) {
      io::fail("the checkpoint of {} names row {}, the table has {} rows", options_.path, entry.row,
               options_.rows);
    }
    tiers_.residency.set_disk_slot(entry.row, entry.slot);
    rows[listed] = entry.row;
    if (++listed == scratch_length_) place_listed();
  }
  place_listed();
  placed_rows_ = entries.size();
}

void TieredStore::Implementation::note_report(const kernels::LookupReport& report) {
  StepCounters& counters = tiers_.counters;
  const std::uint64_t dropped = report.device.dropped - dropped_;
  const std::uint64_t moved = left_to_host_ - dropped;
  counters.host.rows_written += moved;
  counters.host.bytes_written += moved * tiers_.record_bytes;
  counters.clean_dropped += dropped;
  counters.prefetch_used += report.host.prefetch_used - prefetch_used_;
  left_to_host_ = 0;
  dropped_ = report.device.dropped;
  prefetch_used_ = report.host.prefetch_used;
}

const kernels::LookupReport& TieredStore::Implementation::settle_counters() {
  const kernels::LookupReport& report = plan_.report();
  note_report(report);
  return report;
}

const StepCounters& TieredStore::Implementation::counters() {
  const Counted counted = counted_;
  if (counted == Counted::kYes) return tiers_.counters;
  guarded([&] {
    if (counted == Counted::kQueued) {
      if (!counters_ready_->reached()) counters_ready_->synchronize();
      note_report(plan_.last_report());
    } else {
      settle_counters();
    }
    stalls_.collect(tiers_.counters);
    tiers_.counters.io_retries = tiers_.disk.io_retries() - retries_before_step_;
  });
  counted_ = Counted::kYes;
  return tiers_.counters;
}

void TieredStore::Implementation::queue_counters(kernels::Stream& compute) {
  guarded([&] {
    plan_.queue_report();
    stream_->record(*counters_ready_);
    compute.wait(*counters_ready_);
  });
  counted_ = Counted::kQueued;
}

std::vector<RowId> TieredStore::Implementation::touched_rows() {
  return guarded([&] { return tiers_.residency.touched(backend_, *stream_); });
}

TierUse TieredStore::Implementation::tier_use() {
  return guarded([&] {
    prefetch_.publish();
    const kernels::LookupReport& report = settle_counters();
    TierUse use;
    use.device_slots = tiers_.device.slots();
    use.device_rows = use.device_slots - report.device.free;
    use.device_bytes = use.device_rows * tiers_.record_bytes;
    use.host_slots = tiers_.host.slots();
    use.host_rows =
        use.host_slots - report.host.free - static_cast<std::uint64_t>(prefetch_.held_slots());
    use.host_bytes = use.host_rows * tiers_.record_bytes;
    use.disk_slots = tiers_.disk.slots().slots();
    use.disk_live_slots = use.disk_slots - tiers_.disk.slots().free_slots();
    use.disk_bytes = tiers_.disk.file_bytes();
    use.touched_rows = placed_rows_ - dropped_ - plan_.forgotten();
    use.table_rows = options_.rows;
    return use;
  });
}

}  // namespace mneme::offload
