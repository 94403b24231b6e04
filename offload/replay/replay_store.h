// A store without records: it asks the planner for what a trace asks for, as TieredStore does, and
// books what would move. With the tiers of a run it gives every count of the run's books; with
// others those of a run that had them: leases are cut into parts as its own tiers need it. Nothing
// is copied, read or written.
//
// What a trace does not tell of other tiers: which rows would have been hinted there, and when the
// rows of a checkpoint behind training would have been written. Both depend on what is where, and
// on time. Of a trace of version 1 it is not told how leases were cut either.
//
// Told how fast links and computation are, it books what leases would wait for, too, and which
// hints would be late (replay_clock.h). A hinted row whose read the disk had not begun when it lost
// its slot counts as read.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "offload/ledger/ledger.h"
#include "offload/plan_books.h"
#include "offload/planner/planner.h"
#include "offload/replay/next_uses.h"
#include "offload/replay/replay_clock.h"
#include "offload/trace/trace_events.h"
#include "offload/trace/trace_file.h"

namespace mneme::offload {

struct ReplayStoreOptions {
  // Instead of those of the trace; none: those that each process of the trace had.
  std::optional<TraceTiers> tiers = {};
  // Of this trace: replacement is Belady's. Must outlive the store.
  const NextUses* future = nullptr;
  std::optional<ReplaySpeeds> speeds = {};  // none: no times
};

class ReplayStore {
 public:
  // The backend, of one thread and without a device, must outlive it.
  ReplayStore(kernels::Backend& backend, const TraceHeader& header,
              const ReplayStoreOptions& options = {});
  ~ReplayStore();

  // In the order of the trace. Throws Error for an event that no run gives, and where a lease does
  // not fit the tiers.
  void apply(const TraceEvent& event);
  // As apply() does a hint's event; the rows that it brings.
  std::vector<kernels::RowId> hint(const TraceEvent& event);
  // Where rows are now. REQUIRES: a kStart event was applied.
  void locate(std::span<const kernels::RowId> rows, std::span<kernels::Place> places) {
    planner().locate(rows, places);
  }
  const TraceTiers& tiers() const { return tiers_; }
  // Of all so far; of times those that leases waited for are known, with speeds. Waits for nothing.
  Books books();
  std::uint64_t references() const { return references_; }
  // With speeds: seconds of all steps, and how many of them were computation.
  double seconds() const { return clock_ ? clock_->seconds() : 0; }
  double computed_seconds() const { return clock_ ? clock_->computed() : 0; }
  // That this replay itself has spent on leases and hints so far, by its own clock.
  double plan_seconds() const { return plan_seconds_; }

 private:
  void start(const TraceEvent& event);
  template <typename Work>
  void timed(const Work& work);
  void lease(const TraceEvent& event);
  void end_lease(const TraceEvent& event);
  // Of an event's number.
  PlannedLease& live(const TraceEvent& event);
  std::vector<kernels::RowId> bring_hinted(const TraceEvent& event);
  // A lease in the parts that these tiers can hold; `next` of them were taken.
  struct Parts {
    const TraceEvent* lease = nullptr;
    std::size_t part_rows = 0, next = 0;
  };
  std::size_t part_rows_of(const TraceEvent& lease);
  void take_all(const TraceEvent& lease, std::size_t part_rows);
  void take_next(Parts& parts);
  void take_recorded(const TraceEvent& event);
  // part: of `parts`, in the order in which they are taken.
  PlannedLease& take_lease(const TraceEvent& event, const TracePart& of, std::size_t part,
                           std::size_t parts);
  void end_clocked_lease(bool is_last_part);
  void look_ahead(const TraceEvent& lease, const TracePart& rows);
  void bring_missing();
  void bring_round(Round& round);
  void begin_checkpoint();
  void save_next(std::int64_t most);
  void save_leased(const std::uint32_t* rows, std::int64_t count);
  void take_unsaved(const kernels::RowId* rows, std::int64_t count);
  void write(Field move, std::span<const kernels::RowId> rows);
  void write_host_victims(const Victims& victims);
  void write_device_victims(const Victims& victims);
  const kernels::RowId* listed(const std::uint32_t* rows, std::int64_t count);
  Planner& planner() { return *planner_; }

  kernels::Backend& backend_;
  TraceHeader header_;
  ReplayStoreOptions options_;
  kernels::DeviceArray<std::uint32_t> next_use_;  // [rows], with a future
  // In the numbers of NextUses: the first row of the running lease, and of the next one.
  std::uint64_t first_row_ = 0, next_row_ = 0;
  TraceTiers tiers_;
  std::unique_ptr<Planner> planner_;
  Ledger ledger_;
  std::optional<PlanBooks> plan_books_;  // of the process
  std::optional<ReplayClock> clock_;
  bool step_is_over_ = false;
  double plan_seconds_ = 0;
  std::uint64_t hinted_used_ = 0;  // rows on the device that leases have taken so far
  std::uint64_t disk_slot_bytes_ = 0, references_ = 0;

  // Live ones, by their numbers; of one in parts the part that was taken last, or null.
  std::unordered_map<std::uint64_t, PlannedLease*> leases_;
  // One in the parts of the trace, which come event by event.
  TraceEvent recorded_lease_;
  std::optional<Parts> recorded_;
  // Pinned host, of two leases in turns: the plan's stream may still read those of the last one.
  kernels::DeviceArray<kernels::RowId> rows_[2];
  int current_rows_ = 0;

  // By row: whether it has a record on disk, and whether the checkpoint under way still has to
  // write it.
  std::vector<bool> on_disk_, unsaved_;
  std::vector<kernels::RowId> save_rows_;  // of the checkpoint, as the planner gave them
  std::size_t next_save_ = 0;
  std::uint64_t unsaved_rows_ = 0;
};

}  // namespace mneme::offload
