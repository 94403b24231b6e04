// The face of the tiered store: where each row of one value table is, and moving it.
//
// Rows live in three tiers: the device arena (HBM; on the CPU backend an arena in RAM), pinned host
// memory, and record slots on a disk file; a row that nothing has touched lives nowhere and is
// generated. Callers acquire leases on sets of rows; a lease's rows are resident, current and not
// evictable. The store never changes a value except by catching rows up to the step they are read
// in, so no budget, policy or depth can change a result. It knows nothing of layers or models.
//
// Threads: one caller at a time. Device work runs on the store's own streams (the plan's,
// page-in's, write-back's), ordered with each other and with the caller's stream by events.
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
  std::uint64_t device_bytes = 0;  // device arena: records of hot rows
  std::uint64_t host_bytes = 0;    // host arena: records of warm rows; less than 16 take: no tier
  std::uint64_t disk_bytes = 0;    // the rows file may not grow beyond this; 0 for no limit
  // Share of the device arena set aside for read-only leases.
  double evaluation_share = 0.0625;
  kernels::ReplacementKind device_policy = kernels::ReplacementKind::kLru;
  kernels::ReplacementKind host_policy = kernels::ReplacementKind::kLru;
  std::uint32_t io_depth = 32;
  io::IoEngine io_engine = io::IoEngine::kAuto;
  bool direct_io = true;
  // Emulated link speeds, bytes per second; 0 for none. A lease then takes as long as links of that
  // speed would for the bytes that moved: the host's each way, the disk's both ways together.
  double host_link_bytes_per_second = 0;
  double disk_link_bytes_per_second = 0;
};

struct StoreOptions {
  std::uint32_t table = 0;  // index of the table in its process; part of a row's initial value
  std::uint64_t rows = 0;   // K
  kernels::RecordLayout layout;
  float initial_standard_deviation = 0;
  std::uint64_t seed = 0;
  // Of the run that the table belongs to: rows files of two runs cannot stand in for each other.
  std::uint64_t run_id = 0;
  TierOptions tiers;
  std::string path;  // of the rows file; made when rows first go to disk
  // Nothing is trained or flushed: the rows file is opened for reading.
  bool read_only = false;
};

// How rows are brought up to the step in which they are read.
struct Currency {
  kernels::RowOptimizerKind kind = kernels::RowOptimizerKind::kAdamW;
  // The step that values must be current for: t - 1 while step t runs. Null table: no catch-up.
  std::uint64_t step = 0;
  const kernels::CatchUpArgs* catch_up = nullptr;
};

enum class LeaseMode {
  kTrain,     // rows are caught up in place and may be updated
  kReadOnly,  // rows are copied and caught up aside: nothing becomes dirty, nothing is displaced
};

// tiers.disk_bytes is too small for what a run has to write.
class DiskBudgetError : public io::Error {
 public:
  using Error::Error;
};

class TieredStore;

// Rows that are resident, current and not evictable until the lease ends. Move-only.
class Lease {
 public:
  Lease();
  ~Lease();
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&& other) noexcept;

  const kernels::RowArena& arena() const;  // where slots() point into
  const kernels::SlotId* slots() const;    // device, [count]: slot of each acquired row, in order
  std::int64_t count() const;
  // The caller has queued updates of every row of the lease: they are dirty. REQUIRES kTrain.
  void mark_dirty();

 private:
  friend class TieredStore;
  struct State;
  explicit Lease(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class TieredStore {
 public:
  // Opens an empty table. Throws Error when budgets are below the minimum (it says how many bytes
  // are needed) or beyond what the machine has.
  TieredStore(kernels::Backend& backend, io::Disk& disk, const StoreOptions& options);
  ~TieredStore();

  const StoreOptions& options() const;
  // The smallest device_bytes and the host staging that any lease of one row needs.
  static std::uint64_t minimum_device_bytes(const kernels::RecordLayout& layout);

  // The most rows one lease may hold, now, for a mode: callers split larger sets into chunks.
  std::int64_t lease_capacity(LeaseMode mode) const;
  // Starts a training step: counters restart, rows used from now on belong to this step.
  void begin_step(std::uint64_t step);
  // Makes rows resident and current. rows: device, [count], distinct, ascending;
  // count <= lease_capacity(mode). `compute` is the caller's stream: work queued on it after this
  // call sees the rows. The store waits for `rows_ready`, after which the ids and the tables of
  // `currency` are in place, or where it is null for all work queued on `compute` before: with the
  // event rows move beside that work. REQUIRES: no work queued on `compute` after the event changes
  // these rows under another lease.
  Lease acquire(kernels::Stream& compute, const kernels::RowId* rows, std::int64_t count,
                LeaseMode mode, const Currency& currency, kernels::Event* rows_ready = nullptr);
  // Looks whether every row that is dirty, or will be once these rows have been updated, finds a
  // slot within tiers.disk_bytes when it has to be written. rows: device, [count], distinct,
  // ascending, in place. Throws DiskBudgetError; nothing has changed then, and what is dirty can
  // still be flushed. Costs next to nothing while the budget is far away, nothing without one.
  void require_disk_room(const kernels::RowId* rows, std::int64_t count);
  // Hint: these rows (host memory) will be acquired soon. At most byte_budget bytes are moved; the
  // call returns without waiting for what it reads.
  void prefetch(std::span<const kernels::RowId> rows, std::uint64_t byte_budget);

  // Sets rows from records in host memory (import, tests). records: one address a row.
  void write_records(std::span<const kernels::RowId> rows,
                     std::span<const std::byte* const> records);
  // Reads one range of rows as records, as stored, whatever tier they are in (untouched rows are
  // generated): [first, first + count). out: count records. Nothing moves.
  void read_records(kernels::RowId first, std::int64_t count, std::byte* out);
  // Rows touched so far, ascending.
  std::vector<kernels::RowId> touched_rows() const;

  // Checkpoint: writes every dirty row to a fresh slot and syncs the rows file; returns what
  // changed in the row -> slot table since the last committed one. Device and host copies stay.
  TableDelta flush();
  // The checkpoint named by `epoch` that holds the last flush() is durable: its slots are pinned
  // until release_checkpoint. Epochs ascend.
  void commit_checkpoint(std::uint64_t epoch);
  void release_checkpoint(std::uint64_t epoch);
  // Opens the rows file with the tables of checkpoints, oldest first: kept[current] is the table
  // to go on from, and no slot of the others is written before they are released.
  // REQUIRES: nothing acquired yet.
  void restore(std::span<const CheckpointTable> kept, std::size_t current);

  const StepCounters& step_counters() const;
  const StepCounters& total_counters() const;
  TierUse tier_use() const;

 private:
  friend class Lease;
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace mneme::offload
