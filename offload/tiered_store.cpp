#include "offload/tiered_store.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "io/check.h"
#include "io/error.h"
#include "offload/rows_file.h"
#include "offload/store_implementation.h"

namespace mneme::offload {
namespace {

using kernels::MemoryKind;
using kernels::RowId;
using kernels::SlotId;

io::OpenOptions open_options(const TierOptions& tiers) {
  io::OpenOptions open;
  open.direct = tiers.direct_io;
  open.depth = tiers.io_depth;
  open.engine = tiers.io_engine;
  return open;
}

// More slots than rows are of no use.
std::uint64_t host_bytes(const StoreOptions& options) {
  return std::min<std::uint64_t>(
      options.tiers.host_bytes, options.rows * HostTier::slot_bytes(options.layout.record_bytes()));
}

}  // namespace

TieredStore::Implementation::Implementation(kernels::Backend& backend, io::Disk& disk,
                                            const StoreOptions& options)
    : options_(options),
      backend_(backend),
      stream_(backend.create_stream()),
      event_(backend.create_event()),
      init_{options.seed, options.table, options.initial_standard_deviation},
      tiers_{.backend = backend,
             .stream = *stream_,
             .residency = Residency(options.rows),
             .device = DeviceTier(backend, *stream_,
                                  {.table_rows = options.rows,
                                   .bytes = options.tiers.device_bytes,
                                   .evaluation_share = options.tiers.evaluation_share,
                                   .layout = options.layout,
                                   .policy = options.tiers.device_policy,
                                   .seed = options.seed}),
             .host = HostTier(backend, host_bytes(options), options.layout.record_bytes(),
                              options.tiers.host_policy, options.seed),
             .disk = DiskTier(
                 backend, disk,
                 {.path = options.path,
                  .record_bytes = static_cast<std::uint32_t>(options.layout.record_bytes()),
                  .table_id = rows_file_shape(options).table_id,
                  .limit_bytes = options.tiers.disk_bytes,
                  .open = open_options(options.tiers)}),
             .counters = {},
             .record_bytes = options.layout.record_bytes(),
             .changed_rows = {}},
      write_back_(tiers_),
      page_in_(tiers_, write_back_, init_),
      host_link_(options.tiers.host_link_bytes_per_second),
      disk_link_(options.tiers.disk_link_bytes_per_second),
      lists_(backend) {
  const std::size_t evaluation = tiers_.device.evaluation_slots();
  fill_slots_ = backend.allocate(std::size_t{tiers_.device.slots()} * 4, MemoryKind::kPinnedHost);
  evaluation_slots_ = backend.allocate(evaluation * 4, MemoryKind::kPinnedHost);
  evaluation_found_ = backend.allocate(evaluation * 4, MemoryKind::kPinnedHost);
  for (std::size_t i = 0; i < evaluation; ++i) {
    evaluation_slots_.as<SlotId>()[i] = static_cast<SlotId>(i);
  }
  scratch_ = backend.allocate(
      std::min<std::size_t>(evaluation, TransferLists::kLength) * tiers_.record_bytes,
      MemoryKind::kPinnedHost);
}

TieredStore::Implementation::~Implementation() {
  CHECK(leases_.empty() || !failure_.empty(), "a lease outlives its store");
  try {
    // Reads of prefetches that are still on their way are drained with the disk tier.
    stream_->synchronize();
  } catch (const std::exception&) {
    // A failed transfer was or will be reported by the call that needs it.
  }
}

void TieredStore::Implementation::begin_step(std::uint64_t step) {
  guarded([&] {
    total_ += counters();
    tiers_.counters = {};
    retries_before_step_ = tiers_.disk.io_retries();
    tiers_.step = step;
    tiers_.host.set_tick(step);
    page_in_.advance_prefetch();
  });
}

void TieredStore::Implementation::prefetch(std::span<const RowId> rows, std::uint64_t byte_budget) {
  guarded([&] { page_in_.prefetch(rows, byte_budget); });
}

void TieredStore::Implementation::write_records(std::span<const RowId> rows,
                                                std::span<const std::byte* const> records) {
  CHECK(rows.size() == records.size());
  std::size_t first = 0;
  while (first < rows.size()) {
    const auto count = static_cast<std::size_t>(
        std::min<std::int64_t>({TransferLists::kLength, capacity(LeaseMode::kTrain),
                                static_cast<std::int64_t>(rows.size() - first)}));
    CHECK(count > 0);
    kernels::Buffer staged =
        backend_.allocate(count * tiers_.record_bytes, MemoryKind::kPinnedHost);
    for (std::size_t i = 0; i < count; ++i) {
      std::byte* record = staged.as<std::byte>() + i * tiers_.record_bytes;
      std::memcpy(record, records[first + i], tiers_.record_bytes);
      lists_.records[i] = record;
      lists_.rows[i] = rows[first + i];
    }
    {
      Lease lease(
          acquire(*stream_, lists_.rows, static_cast<std::int64_t>(count), LeaseMode::kTrain, {}));
      backend_.unpack_records(*stream_, lease.arena(), lists_.records, lease.slots(),
                              lease.count());
      lease.mark_dirty();
    }
    stream_->synchronize();
    first += count;
  }
}

void TieredStore::Implementation::read_records(RowId first, std::int64_t count, std::byte* out) {
  for (std::int64_t done = 0; done < count;) {
    const std::int64_t batch = std::min<std::int64_t>(
        {TransferLists::kLength, capacity(LeaseMode::kReadOnly), count - done});
    CHECK(batch > 0);
    for (std::int64_t i = 0; i < batch; ++i) {
      lists_.rows[i] = first + static_cast<RowId>(done + i);
      lists_.records[i] = scratch_.as<std::byte>() + i * std::int64_t(tiers_.record_bytes);
    }
    {
      const Lease lease(acquire(*stream_, lists_.rows, batch, LeaseMode::kReadOnly, {}));
      backend_.pack_records(*stream_, lease.arena(), lists_.records, lease.slots(), batch);
    }
    stream_->synchronize();
    std::memcpy(out + done * std::int64_t(tiers_.record_bytes), scratch_.as<std::byte>(),
                static_cast<std::size_t>(batch) * tiers_.record_bytes);
    done += batch;
  }
}

TableDelta TieredStore::Implementation::flush() {
  return guarded([&] {
    CHECK(leases_.empty() && !read_only_lease_live_, "flush while rows are leased");
    page_in_.finish_prefetch();
    write_back_.flush();
    tiers_.disk.slots().seal();
    auto& changed = tiers_.changed_rows;
    std::sort(changed.begin(), changed.end());
    changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
    flushed_rows_ = changed.size();
    TableDelta delta;
    delta.entries.reserve(changed.size());
    for (const RowId row : changed) {
      const std::uint32_t slot = tiers_.residency.disk_slot(row);
      delta.entries.push_back({row, slot, tiers_.disk.generation(slot)});
    }
    delta.next_generation = tiers_.disk.next_generation();
    delta.file_slots = tiers_.disk.slots().slots();
    return delta;
  });
}

void TieredStore::Implementation::commit(std::uint64_t epoch) {
  // What the last flush reported is in a checkpoint now; later changes are not.
  auto& changed = tiers_.changed_rows;
  changed.erase(changed.begin(), changed.begin() + static_cast<std::ptrdiff_t>(flushed_rows_));
  flushed_rows_ = 0;
  tiers_.disk.slots().commit(epoch);
}

void TieredStore::Implementation::restore(std::span<const CheckpointTable> kept) {
  CHECK(!kept.empty() && total_.leases == 0 && tiers_.counters.leases == 0);
  const bool any = std::any_of(kept.begin(), kept.end(),
                               [](const CheckpointTable& table) { return !table.entries.empty(); });
  if (!any) return;  // nothing was ever written: there is no file
  std::vector<const CheckpointTable*> tables;
  for (const CheckpointTable& table : kept) tables.push_back(&table);
  tiers_.disk.restore(tables);
  for (const TableEntry& entry : kept.back().entries) {
    if (entry.row >= options_.rows) {
      io::fail("the checkpoint of {} names row {}, the table has {} rows", options_.path, entry.row,
               options_.rows);
    }
    tiers_.residency.set_disk_slot(entry.row, entry.slot);
  }
}

TierUse TieredStore::Implementation::tier_use() const {
  TierUse use;
  use.device_slots = tiers_.device.slots();
  use.device_rows = tiers_.device.slots() - tiers_.device.free_slots();
  use.device_bytes = use.device_rows * tiers_.record_bytes;
  use.host_slots = tiers_.host.slots();
  use.host_rows = tiers_.host.used();
  use.host_bytes = use.host_rows * tiers_.record_bytes;
  use.disk_slots = const_cast<Tiers&>(tiers_).disk.slots().slots();
  use.disk_live_slots = use.disk_slots - const_cast<Tiers&>(tiers_).disk.slots().free_slots();
  use.disk_bytes = tiers_.disk.file_bytes();
  use.touched_rows = tiers_.residency.touched_count();
  use.table_rows = options_.rows;
  return use;
}

Lease::Lease(std::unique_ptr<State> state) : state_(std::move(state)) {}
Lease::Lease(Lease&& other) noexcept = default;

Lease& Lease::operator=(Lease&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

Lease::~Lease() {
  if (state_) state_->store->end(*state_);
}

const kernels::RowArena& Lease::arena() const {
  return *state_->arena;
}
const SlotId* Lease::slots() const {
  return state_->store->lease_slots(*state_);
}
std::int64_t Lease::count() const {
  return state_ ? state_->count : 0;
}
void Lease::mark_dirty() {
  state_->store->mark_dirty(*state_);
}

TieredStore::TieredStore(kernels::Backend& backend, io::Disk& disk, const StoreOptions& options)
    : implementation_(std::make_unique<Implementation>(backend, disk, options)) {}
TieredStore::~TieredStore() = default;

const StoreOptions& TieredStore::options() const {
  return implementation_->options();
}

std::uint64_t TieredStore::minimum_device_bytes(const kernels::RecordLayout& layout) {
  return 2 * DeviceTier::kMinimumSlots * DeviceTier::slot_bytes(layout);
}

std::int64_t TieredStore::lease_capacity(LeaseMode mode) const {
  return implementation_->capacity(mode);
}

void TieredStore::begin_step(std::uint64_t step) {
  implementation_->begin_step(step);
}

Lease TieredStore::acquire(kernels::Stream& compute, const RowId* rows, std::int64_t count,
                           LeaseMode mode, const Currency& currency) {
  return Lease(implementation_->acquire(compute, rows, count, mode, currency));
}

void TieredStore::prefetch(std::span<const RowId> rows, std::uint64_t byte_budget) {
  implementation_->prefetch(rows, byte_budget);
}

void TieredStore::write_records(std::span<const RowId> rows,
                                std::span<const std::byte* const> records) {
  implementation_->write_records(rows, records);
}

void TieredStore::read_records(RowId first, std::int64_t count, std::byte* out) {
  implementation_->read_records(first, count, out);
}

std::vector<RowId> TieredStore::touched_rows() const {
  return implementation_->tiers().residency.touched();
}

TableDelta TieredStore::flush() {
  return implementation_->flush();
}

void TieredStore::commit_checkpoint(std::uint64_t epoch) {
  implementation_->commit(epoch);
}

void TieredStore::release_checkpoint(std::uint64_t epoch) {
  implementation_->tiers().disk.slots().release(epoch);
}

void TieredStore::restore(std::span<const CheckpointTable> kept) {
  implementation_->restore(kept);
}

const StepCounters& TieredStore::step_counters() const {
  return implementation_->counters();
}

const StepCounters& TieredStore::total_counters() const {
  return implementation_->total();
}
TierUse TieredStore::tier_use() const {
  return implementation_->tier_use();
}

}  // namespace mneme::offload
