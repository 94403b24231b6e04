#include "offload/tiered_store.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "io/check.h"
#include "io/elapsed.h"
#include "io/progress.h"

namespace mneme::offload {

using kernels::RowId;
using Clock = std::chrono::steady_clock;

namespace {

// Rows that are read or written as records in one go: enough that a lease costs little.
constexpr std::int64_t kScratchRows = 4096, kScratchBytes = std::int64_t{32} << 20;

std::int64_t scratch_rows(const Mover& mover, const TierSizes& sizes) {
  const std::int64_t fit = kScratchBytes / static_cast<std::int64_t>(mover.record_bytes());
  const std::int64_t leased = std::max(sizes.training, sizes.evaluation);
  return std::max<std::int64_t>(1, std::min({kScratchRows, fit, leased}));
}

PlannerOptions planner_options(const StoreOptions& options, const TierSizes& sizes) {
  return {.rows = options.rows,
          .device_slots = sizes.training,
          .evaluation_slots = sizes.evaluation,
          .host_slots = sizes.host,
          .has_disk = !options.paths.empty(),
          .transfer_rows = Mover::transfer_rows(options.layout),
          .device_policy = options.tiers.device_policy,
          .host_policy = options.tiers.host_policy,
          .seed = options.seed};
}

kernels::RowInit row_init(const StoreOptions& options) {
  kernels::RowInit init{.seed = options.seed, .table = options.table};
  std::copy_n(options.initial_standard_deviation, kernels::kMaxRowParts, init.standard_deviation);
  return init;
}

MoverOptions mover_options(const StoreOptions& options, const TierSizes& sizes) {
  return {.layout = options.layout,
          .device_slots = sizes.training,
          .evaluation_slots = sizes.evaluation,
          .host_slots = sizes.host,
          .init = row_init(options),
          .host_link_bytes_per_second = options.tiers.host_link_bytes_per_second};
}

DiskEngineOptions disk_options(const StoreOptions& options) {
  const io::RecordFileShape shape = rows_file_shape(options);
  return {.paths = options.paths,
          .record_bytes = shape.payload_bytes,
          .table_id = shape.table_id,
          .table_rows = options.rows,
          .limit_bytes = options.tiers.disk_bytes,
          .save_bytes = save_buffer_bytes(options),
          .open = rows_file_options(options)};
}

}  // namespace

std::uint64_t TieredStore::disk_staging_bytes(const StoreOptions& options) {
  return DiskEngine::staging_bytes(disk_options(options),
                                   static_cast<std::uint32_t>(disk_slot_bytes(options)));
}

TieredStore::TieredStore(kernels::Backend& backend, io::Disk& disk, const StoreOptions& options)
    : options_(options),
      sizes_(tier_sizes(options)),
      backend_(backend),
      backing_disk_(disk),
      disk_link_(options.tiers.disk_link_bytes_per_second),
      paced_disk_(disk, disk_link_),
      planner_(backend, planner_options(options, sizes_)),
      mover_(backend, mover_options(options, sizes_)),
      disk_(backend, disk_of_rows(), disk_options(options)),
      plan_books_(ledger_, mover_.record_bytes()),
      times_(backend),
      stalls_(backend),
      hints_(mover_, disk_, ledger_),
      write_back_(backend, planner_, mover_, disk_, hints_, ledger_),
      snapshot_(backend, planner_, mover_, disk_, write_back_, ledger_),
      page_in_(backend, mover_, disk_, ledger_),
      event_(backend.create_event()),
      hinted_arrived_(backend.create_event()),
      scratch_length_(scratch_rows(mover_, sizes_)),
      books_ready_(backend.create_event()) {
  scratch_ = backend.allocate(static_cast<std::size_t>(scratch_length_) * mover_.record_bytes(),
                              kernels::MemoryKind::kPinnedHost);
  scratch_rows_ = kernels::pinned_array<RowId>(backend, scratch_length_);
}

TieredStore::~TieredStore() {
  CHECK(leases_ == 0 || !failure_.empty(), "a lease outlives its store");
}

void TieredStore::begin_step(std::uint64_t step) {
  guarded([&] {
    trace_step(step);
    step_ = step;
    late_rows_.clear();
    planner_.begin_step(step);
    hints_.collect();
  });
}

void TieredStore::end_step() {
  guarded([&] {
    trace_number(TraceKind::kEndStep, 0);
    planner_.end_step();
  });
}

void TieredStore::prepare_checkpoints() {
  guarded([&] { disk_.prepare_saves(); });
}

void TieredStore::begin_checkpoint(std::uint64_t epoch) {
  guarded([&] {
    CHECK(leases_ == 0, "a checkpoint while rows are leased");
    trace_slot_bytes();
    if (trace_) trace_->add_checkpoint(epoch);
    const auto start = Clock::now();
    looked_up_ = {};
    await_hinted();
    ledger_.open(kCheckpointAccount);
    snapshot_.begin();
    most_dirty_ = 0;
    ledger_.book(Field::kStallWriteBack, io::elapsed_us(start));
  });
}

bool TieredStore::checkpoint_is_written() {
  return guarded([&] {
    const auto start = Clock::now();
    looked_up_ = {};
    await_hinted();
    ledger_.open(kCheckpointAccount);
    snapshot_.write_some();
    ledger_.book(Field::kStallWriteBack, io::elapsed_us(start));
    return snapshot_.is_written();
  });
}

void TieredStore::write_checkpoint() {
  guarded([&] {
    const auto start = Clock::now();
    looked_up_ = {};
    await_hinted();
    ledger_.open(kCheckpointAccount);
    snapshot_.finish();
    ledger_.book(Field::kStallWriteBack, io::elapsed_us(start));
  });
}

TableDelta TieredStore::flush() {
  begin_checkpoint();
  write_checkpoint();
  guarded([&] { sync_checkpoint(); });
  return delta_of(checkpoint_changes());
}

void TieredStore::commit_checkpoint(std::uint64_t epoch) {
  guarded([&] { disk_.commit(epoch); });
  trace_number(TraceKind::kCommit, epoch);
}

void TieredStore::release_checkpoint(std::uint64_t epoch) {
  disk_.release(epoch);
  trace_number(TraceKind::kRelease, epoch);
}

void TieredStore::restore(std::span<const CheckpointTable> kept, std::size_t current) {
  guarded([&] {
    CHECK(current < kept.size() && planner_.placed_rows() == 0);
    const bool any = std::any_of(kept.begin(), kept.end(), [](const CheckpointTable& table) {
      return !table.entries.empty();
    });
    if (!any) return;  // nothing was ever written: there is no file
    std::vector<const CheckpointTable*> tables;
    for (const CheckpointTable& table : kept) tables.push_back(&table);
    disk_.restore(tables, current);
    io::Phase phase("finding the rows", kept[current].entries.size(), "rows");
    std::vector<RowId> rows;
    for (const TableEntry& entry : kept[current].entries) {
      rows.push_back(entry.row);
      if (rows.size() < std::size_t{kScratchRows}) continue;
      planner_.place_on_disk(rows);
      phase.add(rows.size());
      rows.clear();
    }
    planner_.place_on_disk(rows);
  });
}

void TieredStore::finish_transfers() {
  guarded([&] {
    hints_.finish();
    await_hinted();
    snapshot_.settle();
    disk_.finish_writes();
  });
}

void TieredStore::book_records(Field rows, std::int64_t count) {
  const auto moved = static_cast<std::uint64_t>(count);
  ledger_.book_move(rows, moved, moved * mover_.record_bytes());
}

void TieredStore::book_reading() {
  const std::uint64_t now = disk_.busy_times().demand_us;
  ledger_.book(Field::kDiskToDeviceTime, now - std::exchange(booked_read_us_, now));
}

void TieredStore::settle() {
  plan_books_.report(planner_.report());
  stalls_.collect(ledger_);
  times_.collect(ledger_);
  const std::uint64_t retries = disk_.io_retries();
  ledger_.book(Field::kDiskRetries, retries - std::exchange(booked_retries_, retries));
}

const Books& TieredStore::books() {
  const Counted counted = counted_;
  if (!failure_.empty()) {
    // What the disk was asked for until then.
    disk_.stop(failure_);
    hints_.collect();
    page_in_.book();
    return ledger_.current();
  }
  if (counted == Counted::kYes) return ledger_.current();
  guarded([&] {
    hints_.collect();
    if (counted == Counted::kQueued) {
      if (!books_ready_->reached()) books_ready_->synchronize();
    } else {
      looked_up_ = {};
      planner_.settle();
    }
    settle();
  });
  counted_ = Counted::kYes;
  return ledger_.current();
}

Books TieredStore::take_books() {
  books();
  return ledger_.take();
}

void TieredStore::queue_books(kernels::Stream& compute) {
  guarded([&] {
    looked_up_ = {};
    planner_.queue_report();
    planner_.stream().record(*books_ready_);
    compute.wait(*books_ready_);
  });
  counted_ = Counted::kQueued;
}

std::vector<RowId> TieredStore::touched_rows() {
  return guarded([&] { return planner_.touched_rows(); });
}

TierUse TieredStore::tier_use() {
  return guarded([&] {
    looked_up_ = {};
    const kernels::LookupReport& report = planner_.settle();
    settle();
    TierUse use;
    use.device_slots = sizes_.training;
    use.device_rows = use.device_slots - report.device.free;
    use.device_bytes = use.device_rows * mover_.record_bytes();
    use.host_slots = sizes_.host;
    use.host_rows = use.host_slots - report.host.free;
    use.host_bytes = use.host_rows * mover_.record_bytes();
    use.disk_slots = disk_.slots();
    use.disk_live_slots = use.disk_slots - disk_.free_slots();
    use.disk_bytes = disk_.file_bytes();
    use.touched_rows = planner_.touched_count();
    use.table_rows = options_.rows;
    return use;
  });
}

}  // namespace mneme::offload
