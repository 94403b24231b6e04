#include "offload/tiered_store.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "io/check.h"
#include "io/error.h"
#include "offload/link_emulation.h"
#include "offload/page_in.h"
#include "offload/rows_file.h"
#include "offload/tiers.h"
#include "offload/write_back.h"

namespace mneme::offload {
namespace {

using Clock = std::chrono::steady_clock;
using kernels::MemoryKind;
using kernels::RowId;
using kernels::SlotId;

std::uint64_t elapsed_us(Clock::time_point start) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count());
}

io::OpenOptions open_options(const TierOptions& tiers) {
  io::OpenOptions open;
  open.direct = tiers.direct_io;
  open.depth = tiers.io_depth;
  open.engine = tiers.io_engine;
  return open;
}

}  // namespace

struct Lease::State {
  TieredStore::Implementation* store = nullptr;
  kernels::Stream* compute = nullptr;
  const kernels::RowArena* arena = nullptr;
  kernels::Buffer slots;
  std::int64_t count = 0;
  std::uint32_t counter = 0;
  LeaseMode mode = LeaseMode::kTrain;
};

class TieredStore::Implementation {
 public:
  Implementation(kernels::Backend& backend, io::Disk& disk, const StoreOptions& options)
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
               .host = HostTier(backend, options.tiers.host_bytes, options.layout.record_bytes(),
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

  ~Implementation() {
    CHECK(leases_.empty() || !failure_.empty(), "a lease outlives its store");
    try {
      page_in_.finish_prefetch();
      stream_->synchronize();
    } catch (const std::exception&) {
      // A failed transfer was or will be reported by the call that needs it.
    }
  }

  std::int64_t capacity(LeaseMode mode) const {
    if (mode == LeaseMode::kReadOnly) {
      return read_only_lease_live_ ? 0 : tiers_.device.evaluation_slots();
    }
    std::int64_t held = 0;
    for (const Lease::State* lease : leases_) held += lease->count;
    return std::max<std::int64_t>(0, std::int64_t{tiers_.device.slots()} - held);
  }

  void begin_step(std::uint64_t step) {
    total_ += counters();
    tiers_.counters = {};
    retries_before_step_ = tiers_.disk.io_retries();
    tiers_.step = step;
    tiers_.host.set_tick(step);
    page_in_.advance_prefetch();
  }

  // Anything that fails between binding rows to slots and filling them leaves slots without their
  // records: nothing may be read or written after that.
  template <typename Body>
  auto guarded(Body body) {
    if (!failure_.empty()) io::fail("{}", failure_);
    try {
      return body();
    } catch (const std::exception& error) {
      failure_ = error.what();
      throw;
    }
  }

  [[nodiscard]] std::unique_ptr<Lease::State> acquire(kernels::Stream& compute, const RowId* rows,
                                                      std::int64_t count, LeaseMode mode,
                                                      const Currency& currency) {
    CHECK(count >= 0 && count <= capacity(mode), "lease of {} rows, capacity {}", count,
          capacity(mode));
    return guarded([&] {
      compute.record(*event_);
      stream_->wait(*event_);
      auto lease = std::make_unique<Lease::State>();
      lease->store = this;
      lease->compute = &compute;
      lease->count = count;
      lease->mode = mode;
      if (mode == LeaseMode::kTrain) {
        acquire_for_training(*lease, rows);
      } else {
        acquire_read_only(*lease, rows);
      }
      const SlotId* slots =
          mode == LeaseMode::kTrain ? lease->slots.as<SlotId>() : evaluation_slots_.as<SlotId>();
      if (currency.catch_up != nullptr && currency.kind == kernels::RowOptimizerKind::kAdamW &&
          count > 0) {
        backend_.catch_up_rows(*stream_, *lease->arena, rows, slots, count, *currency.catch_up);
      }
      stream_->record(*event_);
      compute.wait(*event_);
      return lease;
    });
  }

  void release(Lease::State& lease) {
    // The next work of the store waits for what the caller queued under the lease.
    lease.compute->record(*event_);
    stream_->wait(*event_);
    if (lease.mode == LeaseMode::kReadOnly) {
      read_only_lease_live_ = false;
      return;
    }
    std::erase(leases_, &lease);
    if (!leases_.empty()) {
      // Only what other leases hold stays protected; a slot may be in several.
      tiers_.device.mark_leased(lease.slots.as<SlotId>(), lease.count, 0);
      for (const Lease::State* other : leases_) {
        tiers_.device.mark_leased(other->slots.as<SlotId>(), other->count, other->counter);
      }
    }
    slot_buffers_.push_back(std::move(lease.slots));
  }

  void mark_dirty(const Lease::State& lease) {
    CHECK(lease.mode == LeaseMode::kTrain);
    tiers_.device.mark_dirty(lease.slots.as<SlotId>(), lease.count);
  }

  void prefetch(std::span<const RowId> rows, std::uint64_t byte_budget) {
    guarded([&] { page_in_.prefetch(rows, byte_budget); });
  }

  void write_records(std::span<const RowId> rows, std::span<const std::byte* const> records) {
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
      auto state =
          acquire(*stream_, lists_.rows, static_cast<std::int64_t>(count), LeaseMode::kTrain, {});
      backend_.unpack_records(*stream_, tiers_.device.arena(), lists_.records,
                              state->slots.as<SlotId>(), static_cast<std::int64_t>(count));
      mark_dirty(*state);
      release(*state);
      stream_->synchronize();
      first += count;
    }
  }

  void read_records(RowId first, std::int64_t count, std::byte* out) {
    for (std::int64_t done = 0; done < count;) {
      const std::int64_t batch = std::min<std::int64_t>(
          {TransferLists::kLength, capacity(LeaseMode::kReadOnly), count - done});
      CHECK(batch > 0);
      for (std::int64_t i = 0; i < batch; ++i) {
        lists_.rows[i] = first + static_cast<RowId>(done + i);
        lists_.records[i] = scratch_.as<std::byte>() + i * std::int64_t(tiers_.record_bytes);
      }
      auto state = acquire(*stream_, lists_.rows, batch, LeaseMode::kReadOnly, {});
      backend_.pack_records(*stream_, *state->arena, lists_.records, evaluation_slots_.as<SlotId>(),
                            batch);
      release(*state);
      stream_->synchronize();
      std::memcpy(out + done * std::int64_t(tiers_.record_bytes), scratch_.as<std::byte>(),
                  static_cast<std::size_t>(batch) * tiers_.record_bytes);
      done += batch;
    }
  }

  TableDelta flush() {
    return guarded([&] {
      CHECK(leases_.empty() && !read_only_lease_live_, "flush while rows are leased");
      page_in_.finish_prefetch();
      write_back_.flush();
      tiers_.disk.slots().seal();
      auto& changed = tiers_.changed_rows;
      std::sort(changed.begin(), changed.end());
      changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
      TableDelta delta;
      delta.entries.reserve(changed.size());
      for (const RowId row : changed) {
        const std::uint32_t slot = tiers_.residency.disk_slot(row);
        delta.entries.push_back({row, slot, tiers_.disk.generation(slot)});
      }
      changed.clear();
      delta.next_generation = tiers_.disk.next_generation();
      delta.file_slots = tiers_.disk.slots().slots();
      return delta;
    });
  }

  void restore(std::span<const CheckpointTable> kept) {
    CHECK(!kept.empty() && total_.leases == 0 && tiers_.counters.leases == 0);
    const bool any = std::any_of(kept.begin(), kept.end(), [](const CheckpointTable& table) {
      return !table.entries.empty();
    });
    if (!any) return;  // nothing was ever written: there is no file
    std::vector<const CheckpointTable*> tables;
    for (const CheckpointTable& table : kept) tables.push_back(&table);
    tiers_.disk.restore(tables);
    for (const TableEntry& entry : kept.back().entries) {
      if (entry.row >= options_.rows) {
        io::fail("the checkpoint of {} names row {}, the table has {} rows", options_.path,
                 entry.row, options_.rows);
      }
      tiers_.residency.set_disk_slot(entry.row, entry.slot);
    }
  }

  const kernels::SlotId* lease_slots(const Lease::State& lease) const {
    return lease.mode == LeaseMode::kTrain ? lease.slots.as<SlotId>()
                                           : evaluation_slots_.as<SlotId>();
  }

  TierUse tier_use() const {
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

  const StepCounters& counters() {
    tiers_.counters.io_retries = tiers_.disk.io_retries() - retries_before_step_;
    return tiers_.counters;
  }

  const StoreOptions& options() const { return options_; }
  Tiers& tiers() { return tiers_; }
  StepCounters& total() { return total_; }

 private:
  void acquire_for_training(Lease::State& lease, const RowId* rows) {
    lease.arena = &tiers_.device.arena();
    lease.counter = ++use_counter_;
    if (slot_buffers_.empty()) {
      slot_buffers_.push_back(
          backend_.allocate(std::size_t{tiers_.device.slots()} * 4, MemoryKind::kDevice));
    }
    lease.slots = std::move(slot_buffers_.back());
    slot_buffers_.pop_back();
    SlotId* slots = lease.slots.as<SlotId>();
    const MissingRows missing = tiers_.device.lookup(rows, lease.count, slots);
    const auto start = Clock::now();
    const StepCounters before = tiers_.counters;
    count_lease(lease.count, missing.rows.size());
    leases_.push_back(&lease);
    if (!missing.rows.empty()) {
      // Rows that are there already must not become victims of those that are not.
      tiers_.device.mark_leased(slots, lease.count, lease.counter);
      page_in_missing(missing);
      const std::size_t still = tiers_.device.lookup(rows, lease.count, slots).rows.size();
      CHECK(still == 0, "{} rows are missing after page-in", still);
    }
    tiers_.device.mark_used(slots, lease.count, lease.counter,
                            static_cast<std::uint32_t>(tiers_.step));
    page_in_.advance_prefetch();
    host_link_.pace(start, tiers_.counters.host.bytes_read - before.host.bytes_read +
                               tiers_.counters.host.bytes_written - before.host.bytes_written);
    disk_link_.pace(start, tiers_.counters.disk.bytes_read - before.disk.bytes_read +
                               tiers_.counters.disk.bytes_written - before.disk.bytes_written);
    if (!missing.rows.empty() || lease.count == 0) {
      tiers_.counters.acquire_stall_us += elapsed_us(start);
    }
  }

  void page_in_missing(const MissingRows& missing) {
    for (const RowId row : missing.rows) {
      if (tiers_.residency.place(row) == Place::kHost) {
        tiers_.host.protect(tiers_.residency.host_slot(row));
      }
    }
    const auto needed = static_cast<std::int64_t>(missing.rows.size());
    const std::int64_t wanted = needed - tiers_.device.free_slots();
    if (wanted > 0) {
      const DeviceVictims victims = tiers_.device.evict(
          wanted, use_counter_, static_cast<std::uint32_t>(tiers_.step), leases_.front()->counter);
      CHECK(std::int64_t(victims.slots.size()) >= wanted, "{} victims of {} wanted",
            victims.slots.size(), wanted);
      write_back_.demote(victims);
      tiers_.device.add_free(victims.slots);
    }
    SlotId* targets = fill_slots_.as<SlotId>();
    for (std::int64_t i = 0; i < needed; ++i) targets[i] = tiers_.device.take_free();
    tiers_.device.bind(missing.rows.data(), targets, needed, use_counter_);
    page_in_.move(missing.rows, targets);
  }

  void acquire_read_only(Lease::State& lease, const RowId* rows) {
    CHECK(!read_only_lease_live_);
    lease.arena = &tiers_.device.evaluation_arena();
    SlotId* found = evaluation_found_.as<SlotId>();
    const MissingRows missing = tiers_.device.lookup(rows, lease.count, found);
    count_lease(lease.count, missing.rows.size());
    std::int64_t listed = 0;
    const auto copy_listed = [&] {
      if (listed == 0) return;
      backend_.copy_rows(*stream_, tiers_.device.arena(), copy_lists_.slots,
                         tiers_.device.evaluation_arena(), copy_lists_.targets, listed);
      stream_->synchronize();
      listed = 0;
    };
    for (std::int64_t i = 0; i < lease.count; ++i) {
      if (found[i] == kernels::kNoSlot) continue;
      copy_lists_.slots[listed] = found[i];
      copy_lists_.targets[listed] = static_cast<SlotId>(i);
      if (++listed == TransferLists::kLength) copy_listed();
    }
    copy_listed();
    // The list of found slots is spent by now: its memory serves for the targets.
    SlotId* targets = found;
    for (std::size_t i = 0; i < missing.rows.size(); ++i) targets[i] = missing.lease_index[i];
    page_in_.copy(missing.rows, targets, tiers_.device.evaluation_arena());
    read_only_lease_live_ = true;
  }

  void count_lease(std::int64_t count, std::size_t missing) {
    StepCounters& counters = tiers_.counters;
    const auto hits = static_cast<std::uint64_t>(count) - missing;
    ++counters.leases;
    counters.rows_leased += static_cast<std::uint64_t>(count);
    counters.device.rows_read += hits;
    counters.device.bytes_read += hits * tiers_.record_bytes;
  }

  StoreOptions options_;
  kernels::Backend& backend_;
  std::unique_ptr<kernels::Stream> stream_;
  std::unique_ptr<kernels::Event> event_;
  kernels::RowInit init_;
  Tiers tiers_;
  WriteBack write_back_;
  PageIn page_in_;
  LinkEmulation host_link_;
  LinkEmulation disk_link_;
  TransferLists lists_;
  TransferLists copy_lists_{backend_};
  kernels::Buffer fill_slots_;
  kernels::Buffer evaluation_slots_;  // 0, 1, 2, ...
  kernels::Buffer evaluation_found_;
  kernels::Buffer scratch_;
  std::vector<kernels::Buffer> slot_buffers_;  // of ended leases
  std::vector<const Lease::State*> leases_;    // live, oldest first
  bool read_only_lease_live_ = false;
  std::uint32_t use_counter_ = 0;
  std::uint64_t retries_before_step_ = 0;
  StepCounters total_;
  std::string failure_;
};

Lease::Lease(std::unique_ptr<State> state) : state_(std::move(state)) {}
Lease::Lease(Lease&& other) noexcept = default;

Lease& Lease::operator=(Lease&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

Lease::~Lease() {
  if (state_) state_->store->release(*state_);
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
  implementation_->tiers().disk.slots().commit(epoch);
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
