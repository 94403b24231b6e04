// The tiered store of one value table: it moves rows between device memory, host memory and disk.
// This class is all that memory/ sees of it. It joins four parts that stand alone:
//
//   planner/   where every row is and what has to move; moves no bytes
//   mover/     copies records between device memory, host memory and staging buffers
//   disk/      records in a file, and which row has which slot there
//   ledger/    the books of all that moves and of all time that a step stands still
//
// and what works with two or three of them: lease.cpp (a lease), page_in (rows from disk),
// write_back (victims to the disk), snapshot (a checkpoint under way), hint_reads (hinted rows),
// records.cpp (records in and out).
//
// Terms
//   row        one vector of the value table, with its optimiser moments and its last step
//   record     the bytes of a row: value, moments, last step (kernels::RecordLayout)
//   slot       a place for one record: in the device tier, the host tier or the rows file
//   tier       device: an arena in device memory (in RAM on the CPU backend);
//              host: pinned host memory; disk: the rows file
//   untouched  a row without a slot in any tier: nothing has changed it, so its value is computed
//              from (seed, table, row) whenever it is needed
//   current    a row is current for step t when its value is the one that the optimiser would have
//              produced after t steps. A row that missed steps is caught up (docs/SPEC.md,
//              "Optimiser")
//   dirty      a row that differs from its copy on disk or, without a copy, from its initial value
//   victim     a row that has to leave a tier because others need its slot
//   lease      the right to use a set of rows. Until the lease ends they are resident (each in a
//              slot of an arena on the device), current, and never victims
//
// One lease in time, from top to bottom. What stands side by side may run at the same time:
//
//   caller's thread             the store's streams                  caller's stream
//   -------------------------   ----------------------------------   --------------------------
//   look_up(rows)             plan: wait for `rows_ready`,           work queued earlier
//                                 look the rows up                     (goes on)
//   acquire(rows)
//     waits for the look-up     plan: choose victims, assign slots     (goes on)
//     frees host slots, if      write-back: victims to host memory
//       need be, by writing     page-in: rows from host memory,
//     reads rows on disk          from disk, or generated
//   acquire returns             plan: catch the rows up              waits for the rows
//     queues work on the rows                                        that work
//   ~Lease
//   next acquire                plan: wait for that work
//
// The store changes a value only by catching its row up, which depends on the row and the step
// alone. So tier budgets, policies, prefetching and I/O depth cannot change a result. The store
// knows nothing of layers or models.
//
// Threads: no two calls at the same time. The store has three streams of its own (plan, page-in,
// write-back), ordered with each other and with the caller's stream by events.
//
// Errors: what is not a bug throws io::Error. After a failure of the device or the disk, rows may
// be bound to slots that do not hold their records. So the store keeps the failure, and every later
// call throws it again; the last committed checkpoint stands. Of require_disk_room() alone an error
// changes nothing. A broken REQUIRES is a bug, and aborts where it can be checked.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/disk.h"
#include "io/emulated_link.h"
#include "io/error.h"
#include "io/paced_disk.h"
#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "offload/disk/disk_engine.h"
#include "offload/disk/row_table.h"
#include "offload/hint_reads.h"
#include "offload/ledger/ledger.h"
#include "offload/ledger/stall_clock.h"
#include "offload/ledger/stream_clock.h"
#include "offload/mover/mover.h"
#include "offload/page_in.h"
#include "offload/plan_books.h"
#include "offload/planner/planner.h"
#include "offload/snapshot.h"
#include "offload/store_options.h"
#include "offload/tier_sizes.h"
#include "offload/trace/trace_writer.h"
#include "offload/write_back.h"

namespace mneme::offload {

// The step that the rows of a lease must be current for, and what catching up needs.
struct Currency {
  kernels::RowOptimizerKind kind = kernels::RowOptimizerKind::kAdamW;
  std::uint64_t step = 0;  // t - 1 while step t runs
  // Of that step; null: rows are handed out as they are stored, and `step` means nothing.
  const kernels::CatchUpArgs* catch_up = nullptr;
  // After which the arrays of `catch_up` are in place; null: they are.
  kernels::Event* catch_up_ready = nullptr;
};

enum class LeaseMode {
  kTrain,     // rows come into the device tier, are caught up there, and may be updated
  kReadOnly,  // rows are copied into an arena of their own and caught up there. No row changes,
              // becomes dirty or leaves its tier. One such lease at a time
};

// What a lease is asked for.
struct LeaseRequest {
  const kernels::RowId* rows = nullptr;  // device, [count], distinct, ascending
  std::int64_t count = 0;                // of look_up() with count_at: the most
  LeaseMode mode = LeaseMode::kTrain;
  Account account = {};  // that pays for it
  // For the trace: whether the parts of a pass over rows that no lease can hold at once go from the
  // first to the last also in a backward pass, and whether the rows become dirty.
  bool ascending = false, changes_rows = false;
  // Recorded once `rows` (and *count_at) and the tables of the currency are in place. The rows move
  // as soon as it is reached, at the same time as the work that `compute` got after it. Null: they
  // move once everything queued on `compute` so far has run.
  kernels::Event* rows_ready = nullptr;
  // Of look_up() only; [1], device or pinned host: how many rows, where only the device knows.
  const std::uint64_t* count_at = nullptr;
};

// Rows that will be acquired soon.
struct Hint {
  std::span<const kernels::RowId> rows = {};  // host memory, distinct, the most likely ones first
  std::uint64_t byte_budget = 0;              // of records
  // kHost: rows on disk are read into the host tier; kDevice: rows of the host tier come into the
  // device tier.
  kernels::Place tier = kernels::Place::kHost;
  std::int32_t layer = kNoLayer;  // that they are for
  HintStep step = HintStep::kNext;
};

// What the tiers hold now.
struct TierUse {
  std::uint64_t device_slots = 0, device_rows = 0, device_bytes = 0;
  std::uint64_t host_slots = 0, host_rows = 0, host_bytes = 0;
  std::uint64_t disk_slots = 0, disk_live_slots = 0, disk_bytes = 0;
  std::uint64_t touched_rows = 0, table_rows = 0;
};

// tiers.disk_bytes is too small for the rows that have to be written.
class DiskBudgetError : public io::Error {
 public:
  using Error::Error;
};

class TieredStore;

// See "lease" above. A lease ends when it is destroyed. What the caller has queued on its stream
// until then may still use the rows: the store waits for that work before it touches them. Must not
// outlive its store. Move-only (move assignment swaps); a default-constructed lease is empty.
class Lease {
 public:
  Lease() = default;
  ~Lease();
  Lease(Lease&& other) noexcept { swap(other); }
  Lease& operator=(Lease&& other) noexcept {
    swap(other);
    return *this;
  }

  // REQUIRES, of all but count(): not empty.
  const kernels::RowArena& arena() const;  // device memory that slots() are places in
  const kernels::SlotId* slots() const;    // device, [count]: the slot of each row, in their order
  std::int64_t count() const { return planned_ != nullptr ? planned_->count : 0; }
  // To be called once updates of every row of the lease are queued: the rows become dirty.
  // REQUIRES: a kTrain lease.
  void mark_dirty();

 private:
  friend class TieredStore;
  Lease(TieredStore& store, PlannedLease& planned, kernels::Stream& compute)
      : store_(&store), planned_(&planned), compute_(&compute) {}
  void swap(Lease& other) noexcept {
    std::swap(store_, other.store_);
    std::swap(planned_, other.planned_);
    std::swap(compute_, other.compute_);
  }

  TieredStore* store_ = nullptr;
  PlannedLease* planned_ = nullptr;
  kernels::Stream* compute_ = nullptr;
};

// While it lives, leases are the parts of one pass over rows that no lease can hold at once: the
// trace has them as one, so that a replay can cut it for other tiers. One at a time. Must not
// outlive its store.
class LeaseParts {
 public:
  // all: of every row of the pass, which are in place. part_rows: of each part but the last in the
  // list; the parts are those of `all`, in its order.
  LeaseParts(TieredStore& store, const LeaseRequest& all, std::int64_t part_rows);
  ~LeaseParts();
  LeaseParts(const LeaseParts&) = delete;
  LeaseParts& operator=(const LeaseParts&) = delete;

 private:
  TieredStore& store_;
};

class TieredStore {
 public:
  // A table of untouched rows; no file is created. Throws Error when a budget is below the minimum
  // (the message says how many bytes are needed; tier_sizes.h) or beyond what the machine has.
  // Backend and disk must outlive the store.
  TieredStore(kernels::Backend& backend, io::Disk& disk, const StoreOptions& options);
  ~TieredStore();
  TieredStore(const TieredStore&) = delete;
  TieredStore& operator=(const TieredStore&) = delete;

  const StoreOptions& options() const { return options_; }
  // Pinned memory that a store takes besides, once it uses its rows files.
  static std::uint64_t disk_staging_bytes(const StoreOptions& options);

  // The most rows that a lease of this mode can have now, beside the leases that are live. Callers
  // split a larger set of rows into chunks.
  std::int64_t lease_capacity(LeaseMode mode) const;
  // Starts training step `step`. Rows used from now on are used in this step, and become victims
  // only where no others are left.
  void begin_step(std::uint64_t step);
  // The step leases nothing any more: hints for the next one take its rows' places.
  void end_step();

  // Optional, ahead of acquire(): queues the look-up of the rows and returns, so that acquire()
  // waits for it alone, however the rows came about. REQUIRES, as of acquire(): see there. With
  // more rows than lease_capacity(mode) nothing is looked up; acquire() then takes chunks.
  void look_up(kernels::Stream& compute, const LeaseRequest& request);
  // Waits for it: the number of rows. `compute` stands still meanwhile, once it has run what is
  // queued there.
  std::int64_t looked_up(kernels::Stream& compute);
  // Makes rows resident and current; see the timeline above. compute: the caller's stream; work
  // queued on it after this call finds the rows in their slots. Where look_up() came last, with the
  // same rows, the rows are not looked up again.
  // REQUIRES: count <= lease_capacity(mode); no work queued on `compute` after `rows_ready` changes
  // these rows under another lease.
  Lease acquire(kernels::Stream& compute, const LeaseRequest& request, const Currency& currency);
  // Checks that the rows file has room, within tiers.disk_bytes, for every row that is dirty now or
  // becomes dirty when these rows are updated. rows: device, [count], distinct, ascending, already
  // computed. Throws DiskBudgetError when it has not; then nothing has changed, and a flush() still
  // succeeds. Takes a few instructions while the file is far from the budget; near it a checkpoint
  // under way is written first. Without a budget it does nothing.
  void require_disk_room(const kernels::RowId* rows, std::int64_t count);
  // Brings rows ahead of their use, at most byte_budget bytes: to the host tier at most half of it,
  // to the device what neither the running step nor another hint has a use for. Waits for the
  // plan, and where slots have to be freed, for writes; reads go on behind it, in the disk's own
  // thread, and rows keep their slots until a lease takes them or nothing else is left. Never
  // changes a result. What is not brought is booked (hints.dropped). Returns the rows that are.
  std::vector<kernels::RowId> hint(const Hint& hint);
  // Hinted rows that leases of the running step had to wait for, so far.
  std::span<const kernels::RowId> late_rows() const { return late_rows_; }
  // Where rows are now. rows: host memory. Waits for the plans before.
  void locate(std::span<const kernels::RowId> rows, std::span<kernels::Place> places);
  // Waits until nothing is on its way to or from the disk: hinted rows are where they were hinted
  // to, and records that leave memory are in the file.
  void finish_transfers();

  // Sets rows from records in host memory, for imports and tests; they are dirty then. rows:
  // distinct, ascending. records: for each row the address of layout.record_bytes() bytes.
  void write_records(std::span<const kernels::RowId> rows,
                     std::span<const std::byte* const> records);
  // Copies the records of rows first .. first + count - 1 to `out`, one behind the other, as they
  // are stored: not caught up, and untouched rows with their initial value. No row changes its
  // tier. REQUIRES: no read-only lease is live.
  void read_records(kernels::RowId first, std::int64_t count, std::byte* out);
  // Bytes of one, as it moves.
  std::size_t record_bytes() const { return mover_.record_bytes(); }
  // All rows that are not untouched, ascending.
  std::vector<kernels::RowId> touched_rows();

  // Rows straight from the rows files, in the order of these and past the tiers: for exports. In
  // batches, made current; `use` finds a batch in the evaluation arena, at slots, once the work
  // queued on `compute` has run. rows: ascending; those without a record on disk are left out.
  // REQUIRES: a read-only store, and no lease.
  struct StoredRows {
    const kernels::RowArena& arena;
    const kernels::SlotId* slots;          // device, [indices.size()]
    std::span<const std::size_t> indices;  // in `rows`
  };
  void read_stored(kernels::Stream& compute, std::span<const kernels::RowId> rows,
                   const Currency& currency, const std::function<void(const StoredRows&)>& use);

  // A checkpoint, in the order of the calls (docs/architecture.md, "Checkpoints"). Training may go
  // on meanwhile, and rows stay in their tiers. Epochs ascend.
  //
  //   begin_checkpoint()       it holds every row as it is now
  //   checkpoint_is_written()  writes dirty rows of it as far as that does not wait, as leases and
  //                            hints do; whether all are in the rows files
  //   write_checkpoint()       the same, and waits
  //   sync_checkpoint()        ... and they are durable. From any thread
  //   checkpoint_changes()     how the row -> disk slot table differs from that of the last
  //   committed
  //                            checkpoint. Read from any thread, until commit_checkpoint()
  //   the caller               stores these durably, under a number: the epoch
  //   commit_checkpoint()      from now on no disk slot of that checkpoint is overwritten ...
  //   release_checkpoint()     ... until here
  //
  // prepare_checkpoints() may come early: it makes the rows files and takes the memory that the
  // first checkpoint would otherwise wait for. REQUIRES, of begin_checkpoint(): no lease is live;
  // an earlier one is committed, or given up.
  void prepare_checkpoints();
  // epoch: that it is to be committed under, for the trace.
  void begin_checkpoint(std::uint64_t epoch = 0);
  bool checkpoint_is_written();
  void write_checkpoint();
  void sync_checkpoint() { disk_.sync(); }
  TableChanges checkpoint_changes() { return disk_.changes(); }
  void commit_checkpoint(std::uint64_t epoch);
  void release_checkpoint(std::uint64_t epoch);
  // Up to checkpoint_changes(), in one call.
  TableDelta flush();
  // Continues from a checkpoint: opens the rows file, where rows are as kept[current] says. kept:
  // the tables of all kept checkpoints, oldest first; none of their disk slots is overwritten
  // before its checkpoint is released. REQUIRES: nothing was acquired yet.
  void restore(std::span<const CheckpointTable> kept, std::size_t current);

  // Writes what the store is asked for into a trace (trace/), from now on. Of the traces `paths`
  // the first one that knows the checkpoint `epoch`, whose state restore() has brought, is cut off
  // there and continued; without one, the last path becomes a new trace. REQUIRES: no lease is
  // live. Throws Error.
  void start_trace(io::Disk& disk, const std::vector<std::string>& paths, std::uint64_t epoch);
  // Null: nothing is traced.
  TraceWriter* trace() { return trace_ ? &*trace_ : nullptr; }

  // The books (ledger/books.h): what has happened since the last take_books(), and all that was
  // taken. The first two wait for the plan's stream, because the device keeps some of the counts.
  // Of a store that has stopped they are what was booked until then, without those.
  const Books& books();
  Books take_books();
  // How long disk transfers took that came through since the last call.
  DiskLatencies take_disk_latencies() { return disk_.take_latencies(); }
  const Books& all_books() const { return ledger_.all(); }
  // Queues what books() waits for in front of the caller's next work on `compute`: once that stream
  // has been waited for, and nothing else was asked of the store, books() need not wait.
  void queue_books(kernels::Stream& compute);
  TierUse tier_use();

 private:
  friend class Lease;
  friend class LeaseParts;

  // Anything that fails between binding rows to slots and filling them leaves slots without their
  // records: nothing may be read or written after that. Every public function that touches a
  // stream or the disk goes through here, since any of them may be the one that hears of a failure.
  template <typename Body>
  auto guarded(Body body) {
    if (!failure_.empty()) io::fail("{}", failure_);
    counted_ = Counted::kNo;
    try {
      return body();
    } catch (const std::exception& error) {
      failure_ = error.what();
      throw;
    }
  }

  // lease.cpp
  Lease take_lease(kernels::Stream& compute, const LeaseRequest& request, const Currency& currency);
  void queue_look_up(kernels::Stream& compute, const LeaseRequest& request);
  bool is_looked_up(const LeaseRequest& request) const;
  PlannedLease& make_resident(const LeaseRequest& request, StallClock::HostTime& host);
  void bring_missing(const kernels::RowArena& arena, StallClock::HostTime& host);
  void bring_round(const Round& round, const kernels::RowArena& arena, StallClock::HostTime& host);
  void exchange(const Round& round, const kernels::RowArena& arena);
  void write_victims(const Round& round, StallClock::HostTime& host);
  void wait_for_hints(const Found& found, StallClock::HostTime& host);
  // What the planner's stream does from now on finds the records of hinted rows on the device.
  // Whoever reads records there, or moves them, calls it; a lease that takes no such row, and moves
  // none, goes on beside their arrival.
  void await_hinted();
  void save_before(const LeaseRequest& request, StallClock::HostTime& host);
  void save_others(StallClock::HostTime& host);
  void settle_unready(std::span<const kernels::RowId> rows);
  const kernels::RowArena& arena(const PlannedLease& lease) const;
  void release(PlannedLease& lease, kernels::Stream& compute);
  // release() for a destructor, which runs while an error of the device unwinds a step, too: a
  // failure is the next call's.
  void end(PlannedLease& lease, kernels::Stream& compute) noexcept;
  std::vector<kernels::RowId> hint_to_host(const Hint& hint, StallClock::HostTime& host);
  std::vector<kernels::RowId> hint_to_device(const Hint& hint, StallClock::HostTime& host);

  // records.cpp. REQUIRE: one batch of scratch memory and one lease hold the rows.
  void write_batch(std::span<const kernels::RowId> rows, std::span<const std::byte* const> records);
  void read_batch(kernels::RowId first, std::int64_t count, std::byte* out);
  kernels::HostRecords scratch_records() const;
  io::Disk& disk_of_rows() { return disk_link_.is_emulated() ? paced_disk_ : backing_disk_; }
  // Ascending, from the device.
  std::vector<kernels::RowId> copy_rows(const kernels::RowId* rows, std::int64_t count);

  // trace.cpp: into the trace, where there is one.
  void trace_step(std::uint64_t step);
  void trace_slot_bytes();
  void trace_lease(const LeaseRequest& request);
  void begin_parts(const LeaseRequest& all, std::int64_t part_rows);
  void end_parts() noexcept;
  void add_lease(const LeaseRequest& request, std::int64_t part_rows);
  void trace_lease_event(TraceKind kind, const PlannedLease& planned);
  void trace_hint(const Hint& hint);
  void trace_number(TraceKind kind, std::uint64_t number);

  void book_hint(const PlannedHint& planned);
  void book_records(Field rows, std::int64_t count);
  // The time since the last call in which reads for leases were under way.
  void book_reading();
  void settle();

  StoreOptions options_;
  TierSizes sizes_;
  kernels::Backend& backend_;
  io::Disk& backing_disk_;
  io::EmulatedLink disk_link_;
  io::PacedDisk paced_disk_;
  Planner planner_;
  Mover mover_;
  DiskEngine disk_;
  Ledger ledger_;
  PlanBooks plan_books_;
  StreamClock times_;
  StallClock stalls_;
  HintReads hints_;
  WriteBack write_back_;
  Snapshot snapshot_;
  PageIn page_in_;
  std::unique_ptr<kernels::Event> event_;
  // The last records that hints bring to the device are there; whether that may still be to come,
  // and in which step it was asked for.
  std::unique_ptr<kernels::Event> hinted_arrived_;
  bool hinted_arrive_ = false;
  std::uint64_t step_ = 0, hinted_step_ = 0;
  std::vector<kernels::RowId> late_rows_;
  std::uint64_t hinted_used_ = 0;  // rows on the device that leases have taken so far

  LeaseRequest looked_up_;  // rows null: none
  int leases_ = 0;          // live
  // No fewer than the rows that are dirty, those of a checkpoint under way apart.
  std::uint64_t most_dirty_ = 0;

  kernels::Buffer scratch_;                            // pinned host: records of one batch
  kernels::DeviceArray<kernels::RowId> scratch_rows_;  // pinned host: their rows
  std::int64_t scratch_length_ = 0;

  std::uint64_t booked_retries_ = 0, booked_read_us_ = 0;
  // Whether the books hold all that has happened, or will once books_ready_ is reached.
  enum class Counted { kNo, kQueued, kYes };
  Counted counted_ = Counted::kNo;
  std::unique_ptr<kernels::Event> books_ready_;
  std::string failure_;

  std::optional<TraceWriter> trace_;
  std::uint64_t traced_leases_ = 0, traced_slot_bytes_ = 0;
  bool moves_records_ = false;  // what is leased is copied in or out
  bool traces_parts_ = false;   // leases are parts of the last one in the trace
  struct TracedLease {
    std::uint64_t number = 0;
    bool is_part = false;
  };
  std::map<const PlannedLease*, TracedLease> lease_numbers_;  // of live ones
};

}  // namespace mneme::offload
