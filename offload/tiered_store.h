// The tiered store of one value table: it knows where every row is, and moves rows between device
// memory, host memory and disk. This class is all that memory/ sees of it.
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
//   acquire(rows)                                                    work queued earlier
//     waits for the look-up     plan: wait for `rows_ready`,           (goes on)
//                                 look the rows up
//     frees host slots, if      plan: choose victims, assign slots     (goes on)
//       need be, by writing     write-back: victims to host memory
//     reads rows on disk        page-in: rows from host memory,
//                                 from disk, or generated
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
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/disk.h"
#include "io/enum_names.h"
#include "io/error.h"
#include "kernels/backend.h"
#include "offload/counters.h"
#include "offload/row_table.h"

namespace mneme::offload {

enum class PrefetchKind { kNone, kOracleNextStep };
constexpr auto enum_names(PrefetchKind) {
  return std::to_array<io::EnumName<PrefetchKind>>(
      {{"none", PrefetchKind::kNone}, {"oracle-next-step", PrefetchKind::kOracleNextStep}});
}

struct TierOptions {
  std::uint64_t device_bytes = 0;  // budget of the device tier, its slot table included
  std::uint64_t host_bytes = 0;    // budget of the host tier; too little for 16 records: no tier
  std::uint64_t disk_bytes = 0;    // the largest size of the rows file; 0 for no limit
  // The share of device_bytes that is set aside for read-only leases.
  double evaluation_share = 0.0625;
  kernels::ReplacementKind device_policy = kernels::ReplacementKind::kLru;
  kernels::ReplacementKind host_policy = kernels::ReplacementKind::kLru;
  std::uint32_t io_depth = 32;  // disk transfers under way at once
  io::IoEngine io_engine = io::IoEngine::kAuto;
  bool direct_io = true;  // O_DIRECT: past the page cache
  // Emulated link speeds in bytes per second; 0 for none. acquire() then takes at least as long as
  // a link of that speed needs for the bytes that moved. The host link carries both directions at
  // once, so that the longer one counts; the disk's reads and writes add up.
  double host_link_bytes_per_second = 0;
  double disk_link_bytes_per_second = 0;
};

struct StoreOptions {
  std::uint32_t table = 0;  // number of the table; part of what a row's initial value depends on
  std::uint64_t rows = 0;   // K, the rows of the table
  kernels::RecordLayout layout;
  float initial_standard_deviation = 0;
  std::uint64_t seed = 0;
  // The run that the table belongs to. A rows file of another run is refused.
  std::uint64_t run_id = 0;
  TierOptions tiers;
  std::string path;  // of the rows file, which is created when the first row goes to disk
  // For evaluation and export: the rows file is opened for reading only, and nothing may be trained
  // or flushed.
  bool read_only = false;
};

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
  Lease();
  ~Lease();
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&& other) noexcept;

  // REQUIRES, of all but count(): not empty.
  const kernels::RowArena& arena() const;  // device memory that slots() are places in
  const kernels::SlotId* slots() const;    // device, [count]: the slot of each row, in their order
  std::int64_t count() const;              // rows; 0 when empty
  // To be called once updates of every row of the lease are queued: the rows become dirty.
  // REQUIRES: a kTrain lease.
  void mark_dirty();

 private:
  friend class TieredStore;
  struct State;
  explicit Lease(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class TieredStore {
 public:
  // A table of untouched rows; no file is created. Throws Error when a budget is below the minimum
  // (the message says how many bytes are needed) or beyond what the machine has. Backend and disk
  // must outlive the store.
  TieredStore(kernels::Backend& backend, io::Disk& disk, const StoreOptions& options);
  ~TieredStore();

  const StoreOptions& options() const;
  // The smallest device_bytes: 8 slots for training and 8 for evaluation.
  static std::uint64_t minimum_device_bytes(const kernels::RecordLayout& layout);
  // The device_bytes with which `rows` rows lie in the device tier while they are trained.
  static std::uint64_t device_bytes_for(const StoreOptions& options, std::uint64_t rows);
  // What the tiers' arenas take of their memories with these options: a budget, or less where the
  // whole table needs less.
  static std::uint64_t device_arena_bytes(const StoreOptions& options);
  static std::uint64_t host_arena_bytes(const StoreOptions& options);

  // The most rows that a lease of this mode can have now, beside the leases that are live. Callers
  // split a larger set of rows into chunks.
  std::int64_t lease_capacity(LeaseMode mode) const;
  // Starts training step `step`: its counters start at 0. Rows used from now on are used in this
  // step, and become victims only where no others are left.
  void begin_step(std::uint64_t step);
  // Makes rows resident and current; see the timeline above. rows: device, [count], distinct,
  // ascending. compute: the caller's stream; work queued on it after this call finds the rows in
  // their slots. rows_ready: an event recorded once `rows` and the tables of `currency` are in
  // place. The rows move as soon as it is reached, at the same time as the work that `compute` got
  // after it. Null: they move once everything queued on `compute` so far has run.
  // REQUIRES: count <= lease_capacity(mode); no work queued on `compute` after `rows_ready` changes
  // these rows under another lease.
  Lease acquire(kernels::Stream& compute, const kernels::RowId* rows, std::int64_t count,
                LeaseMode mode, const Currency& currency, kernels::Event* rows_ready = nullptr);
  // Checks that the rows file has room, within tiers.disk_bytes, for every row that is dirty now or
  // becomes dirty when these rows are updated. rows: device, [count], distinct, ascending, already
  // computed. Throws DiskBudgetError when it has not; then nothing has changed, and a flush() still
  // succeeds. Takes a few instructions while the file is far from the budget; without a budget it
  // does nothing.
  void require_disk_room(const kernels::RowId* rows, std::int64_t count);
  // A hint that these rows will be acquired soon: those on disk are read into the host tier, at
  // most byte_budget bytes and half of the host tier. rows: host memory. Replaces what is left of
  // an earlier hint. Does not wait for the reads, but for the plan, and where host slots have to be
  // freed, for writes.
  void prefetch(std::span<const kernels::RowId> rows, std::uint64_t byte_budget);

  // Sets rows from records in host memory, for imports and tests; they are dirty then. rows:
  // distinct, ascending. records: for each row the address of layout.record_bytes() bytes.
  void write_records(std::span<const kernels::RowId> rows,
                     std::span<const std::byte* const> records);
  // Copies the records of rows first .. first + count - 1 to `out`, one behind the other, as they
  // are stored: not caught up, and untouched rows with their initial value. No row changes its
  // tier. REQUIRES: no read-only lease is live.
  void read_records(kernels::RowId first, std::int64_t count, std::byte* out);
  // All rows that are not untouched, ascending.
  std::vector<kernels::RowId> touched_rows() const;

  // A checkpoint in three calls (docs/architecture.md, "Checkpoints"):
  //   flush()               writes every dirty row to a fresh disk slot and syncs the rows file
  //   the caller            stores the returned table durably, under a number: the epoch
  //   commit_checkpoint()   from now on no disk slot of that checkpoint is overwritten ...
  //   release_checkpoint()  ... until here
  // Rows stay in their tiers. flush() returns how the row -> disk slot table differs from that of
  // the last committed checkpoint. REQUIRES, of flush(): no lease is live. Epochs ascend.
  TableDelta flush();
  void commit_checkpoint(std::uint64_t epoch);
  void release_checkpoint(std::uint64_t epoch);
  // Continues from a checkpoint: opens the rows file, where rows are as kept[current] says. kept:
  // the tables of all kept checkpoints, oldest first; none of their disk slots is overwritten
  // before its checkpoint is released. REQUIRES: nothing was acquired yet.
  void restore(std::span<const CheckpointTable> kept, std::size_t current);

  // Of the running step, of all steps before it, and what the tiers hold now. The first and the
  // last wait for the plan's stream, because the device keeps some of the counts.
  const StepCounters& step_counters() const;
  // Queues what step_counters() waits for in front of the caller's next work on `compute`: once
  // that stream has been waited for, and nothing else was asked of the store, step_counters() need
  // not wait.
  void queue_counters(kernels::Stream& compute);
  const StepCounters& total_counters() const;
  TierUse tier_use() const;

 private:
  friend class Lease;
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace mneme::offload
