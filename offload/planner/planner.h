// The planner: where every row of a table is, and what has to move for a lease or a hint. It owns
// the residency of all rows, and the slot tables and replacement of both tiers in memory. All of it
// lies in device memory and is decided there in bulk, one source for CPU and GPU.
//
// It must never know what a record is, where one lies, or what a file is: it moves no bytes. It
// reads no clock: equal calls give equal plans, so that training, replays of a trace and its own
// tests run the same code. Carrying a plan out is the business of the mover and of the disk.
//
// A lease in time. Everything but found(), plan() and end_round() only queues work:
//
//   look_up(rows, mode)     slot of each row; the missing ones listed by where they are
//   found()                 waits for the counts
//   begin_lease()           counts the use of resident rows, which cannot become victims any more
//   while next_round()      as many missing rows as a list holds
//     plan(round)           victims, and a slot for each missing row. Waits where rows have to go
//     to
//                           the disk: the host has to know which
//     (transfers)           the caller moves what the round says
//     end_round()           with no host slot free, takes one more from its row; then waits, too
//   finish_lease()          the next plan may begin
//   end_lease()             its rows may become victims
//
// Protection. Never victims: rows of live leases, and rows that the lease being planned has found
// in the host tier. Victims only when nothing else is left: rows used in the running step, and rows
// hinted for the next one.
//
// Threads: one at a time. Errors: Error, when no row can move for want of a free slot.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "offload/moves.h"
#include "offload/planner/residency.h"
#include "offload/planner/round_lists.h"
#include "offload/planner/slot_tier.h"

namespace mneme::offload {

struct PlannerOptions {
  std::uint64_t rows = 0;              // K, the rows of the table
  std::uint32_t device_slots = 0;      // of the device tier
  std::uint32_t evaluation_slots = 0;  // places of a read-only lease
  std::uint32_t host_slots = 0;        // 0: there is no host tier
  bool has_disk = true;                // rows may leave memory for the disk
  // Rows of one transfer: where rows may go to the disk, room for two is kept in the host tier.
  std::int64_t transfer_rows = 16384;
  kernels::ReplacementKind device_policy = kernels::ReplacementKind::kLru;
  kernels::ReplacementKind host_policy = kernels::ReplacementKind::kLru;
  std::uint64_t seed = 0;  // of random replacement
  // Replays: when each row is used next, [rows], in device memory, which their owner keeps up, on
  // the scale of set_next_use_now(). Replacement is Belady's then, whatever the policies say.
  const std::uint32_t* next_use = nullptr;
};

// What a planner allocates; its constructor takes exactly this.
struct PlannerMemory {
  std::uint64_t device_bytes = 0;
  std::uint64_t pinned_bytes = 0;
};
PlannerMemory planner_memory(const PlannerOptions& options);

enum class PlanMode {
  kTrain,         // rows come into the device tier
  kReadOnly,      // rows are copied into places of their own, row i into place i. No row moves
  kHintToDevice,  // rows of the host tier come into the device tier ahead of their use
};

struct RowsWanted {
  const kernels::RowId* rows = nullptr;  // device or pinned host, [count], distinct, ascending
  std::int64_t count = 0;                // how many; with count_at the most
  // [1], device or pinned host: how many, where only the device knows. Null: `count`. With more
  // than `count` nothing is looked up.
  const std::uint64_t* count_at = nullptr;
};

// Where the rows of a look-up are.
struct Found {
  std::int64_t count = 0;
  std::int64_t on_device = 0, in_host = 0, untouched = 0, on_disk = 0;
  // Those in the host tier that a hint has brought, or is bringing, and no lease has used yet;
  // ascending, host memory, until the next look-up.
  std::span<const kernels::RowId> hinted;
  std::int64_t missing() const { return in_host + untouched + on_disk; }
};

// Some of the missing rows of a lease: those in the host tier first, then untouched ones, then
// those on disk.
struct Round {
  std::int64_t first = 0;                                // in the list of missing rows
  std::int64_t in_host = 0, untouched = 0, on_disk = 0;  // how many
  std::int64_t rows() const { return in_host + untouched + on_disk; }
  std::int64_t victims = 0;                   // device slots that have to be emptied
  std::span<const kernels::RowId> disk_rows;  // host memory, ascending
  // What plan() adds.
  Victims host_victims;    // slots of the host tier; before anything else moves
  Victims device_victims;  // without a host tier: slots of the device tier
  Exchange exchange;       // with the host tier
  const kernels::RowId* untouched_rows = nullptr;    // device, [untouched]
  const kernels::SlotId* untouched_slots = nullptr;  // device
  const kernels::SlotId* disk_slots = nullptr;       // pinned host, [on_disk]: once the planner's
                                                     // stream has run
};

struct PlannedLease {
  PlanMode mode = PlanMode::kTrain;
  std::uint32_t number = 0;  // leases that train count from 1
  std::int64_t count = 0;
  kernels::DeviceArray<kernels::SlotId> slots;  // [device_slots]; empty for a read-only lease
};

// The step that a hint is for: the one that has begun last, or the one after it.
enum class HintStep : std::uint8_t { kRunning, kNext };

// A hint, planned. Rows of a hint to the host tier have their slots at once; their records are to
// be read into them.
struct PlannedHint {
  std::uint64_t present = 0;   // rows that are where they are wanted, or have no record to bring
  std::uint64_t dropped = 0;   // rows beyond the limit or the room
  std::uint64_t promoted = 0;  // of `rows`, those that a hint to the host tier had brought, unused
  std::vector<kernels::RowId> rows;    // in the order of the hint
  std::vector<kernels::SlotId> slots;  // of a hint to the host tier: their host slots
  Victims host_victims;                // of a hint to the host tier
};

class Planner {
 public:
  // The most rows of one round.
  static constexpr std::int64_t kRoundRows = std::int64_t{1} << 19;

  // The backend must outlive it. Throws Error for want of memory.
  Planner(kernels::Backend& backend, const PlannerOptions& options);
  ~Planner();

  const PlannerOptions& options() const { return options_; }
  // All work is queued here.
  kernels::Stream& stream() { return *stream_; }

  void begin_step(std::uint64_t step) {
    step_ = static_cast<std::uint32_t>(step);
    step_is_over_ = false;
  }
  // No lease of the running step comes any more: until the next one, its rows may go as others do.
  void end_step() { step_is_over_ = true; }
  void set_next_use_now(std::uint32_t now) { next_use_now_ = now; }
  // The most rows that a lease can have now, beside the leases that are live.
  std::int64_t capacity(PlanMode mode) const;

  // ---- A lease, in the order of the calls.
  // REQUIRES: count <= capacity(mode).
  void look_up(const RowsWanted& wanted, PlanMode mode);
  // Waits for the look-up. count above the `count` that was asked for: nothing was looked up.
  const Found& found();
  // REQUIRES: found() says that all were looked up.
  PlannedLease& begin_lease();
  // False when every missing row has had its round. Queues nothing.
  bool next_round(Round& round);
  // The rows on disk that rounds after this one will bring.
  std::span<const kernels::RowId> disk_rows_after(const Round& round) const;
  void plan(Round& round);
  // To be called when the round's transfers are queued; its lists are used again after them. The
  // streams are those of the transfers, or null where there are none.
  Victims end_round(kernels::Stream* page_in, kernels::Stream* write_back);
  void finish_lease();
  void end_lease(PlannedLease& lease);
  void mark_dirty(const PlannedLease& lease);
  // Device: the slot of each row in the device tier or in the places of read-only leases.
  const kernels::SlotId* slots(const PlannedLease& lease) const;
  // Device: of a read-only lease that is being planned, the device slots of resident rows, else
  // kNoSlot.
  const kernels::SlotId* resident_slots() const { return found_slots_.data(); }

  // Device: the places of read-only leases, 0, 1, 2, ...
  const kernels::SlotId* places() const { return places_.data(); }

  // ---- Hints. rows: host memory, distinct, the most likely ones first; `step`: that will use
  // them. Those that are where they are wanted stay up to it while others may go; others take the
  // places of rows that neither this step nor a hint has a use for: in the host tier at most half
  // of all places.
  PlannedHint plan_hint_to_host(std::span<const kernels::RowId> rows, std::int64_t most,
                                HintStep step);
  // Where rows are now; rows: host memory. Waits.
  void locate(std::span<const kernels::RowId> rows, std::span<kernels::Place> places);
  // Opens a plan whose rounds bring the rows, as those of a lease; nothing where rows is empty.
  // Waits for the plans before. REQUIRES: no plan is open.
  PlannedHint plan_hint_to_device(std::span<const kernels::RowId> rows, std::int64_t most,
                                  HintStep step);

  // ---- What the disk has to know and to tell.
  struct DirtyRows {
    std::span<const kernels::SlotId> slots;  // ascending
    std::span<const kernels::RowId> rows;
  };
  // Dirty slots of a tier, kDevice or kHost. Waits. Valid until the next list of this tier.
  DirtyRows dirty(kernels::Place tier);
  // A checkpoint begins. The rows that are dirty: their records have to be written as they are now,
  // wherever they move. Waits.
  std::vector<kernels::RowId> begin_save();
  // The most rows of one take_unsaved().
  std::int64_t most_taken() const { return list_rows_.count(); }
  // Those among the rows that are still to be written, and are in memory: where. They count as
  // written from now on. rows: distinct; device or any host memory. Waits.
  struct Unsaved {
    std::vector<kernels::RowId> device_rows, host_rows;
    std::vector<kernels::SlotId> device_slots, host_slots;
  };
  Unsaved take_unsaved(const kernels::RowId* rows, std::int64_t count, kernels::MemoryKind where);
  // Rows whose records are on disk, as a checkpoint says. Waits. REQUIRES: they are untouched.
  void place_on_disk(std::span<const kernels::RowId> rows);
  // Ascending. Scans the table: for tools.
  std::vector<kernels::RowId> touched_rows() { return residency_.touched(backend_, *stream_); }

  // Device, [rows]: where each row is (kernels/location.h).
  const kernels::Location* locations() const { return residency_.locations(); }

  // ---- Counts.
  // Queues a report of both tiers; report() once the stream has got there.
  void queue_report();
  // The last report, of a look-up or of queue_report().
  const kernels::LookupReport& report() const { return report_[0]; }
  // Reports and waits.
  const kernels::LookupReport& settle();
  // Untouched rows that found a place, since the start.
  std::uint64_t placed_rows() const { return placed_; }
  // Rows that are not untouched; as of the last report.
  std::uint64_t touched_count() const { return placed_ - report_[0].device.dropped - forgotten_; }

 private:
  bool has_host() const { return host_.slots() > 0; }
  RoundLists& lists() { return lists_[current_list_]; }
  // The first step whose rows go last.
  std::uint32_t kept_step() const { return step_ + (step_is_over_ ? 1 : 0); }
  PlanTime now() const { return {use_counter_, kept_step(), next_use_now_}; }
  bool is_read_only() const { return mode_ == PlanMode::kReadOnly; }
  // The number of the lease under way, or of the next one.
  std::uint32_t plan_number() const;
  std::uint32_t first_live_lease() const;
  void number_places();
  // Whether the host tier may hold rows of hints that no lease has used, by the last report.
  bool hints_wait() const;

  // plan_rounds.cpp
  std::int64_t spare_slots() const;
  void make_room(Round& round);
  void evict(Round& round);
  void bind(Round& round);
  void demote(Round& round);
  // Takes up to `wanted` host slots from their rows and makes them free. Waits.
  Victims take_host_victims(std::int64_t wanted);

  // plan_hints.cpp
  // Calls use(first, count) for stretches of the rows, which are in list_rows_ then, and where they
  // are in list_slots_. Waits.
  template <typename Use>
  void for_each_located(std::span<const kernels::RowId> rows, const Use& use);
  PlannedHint choose_hinted(std::span<const kernels::RowId> rows, kernels::Place from,
                            std::int64_t limit);
  std::uint32_t number_of(HintStep step) const { return step_ + (step == HintStep::kNext ? 1 : 0); }

  kernels::Backend& backend_;
  PlannerOptions options_;
  std::unique_ptr<kernels::Stream> stream_;
  Residency residency_;
  SlotTier device_, host_;
  std::uint32_t step_ = 0;
  bool step_is_over_ = false;
  std::uint32_t hint_step_ = 0;  // that the last hint was for
  std::uint32_t next_use_now_ = 0;
  std::uint32_t use_counter_ = 0;  // leases that train, so far
  std::uint32_t look_ups_ = 0;     // so far; protects what the last one found in the host tier

  // The plan under way.
  enum class Stage { kNone, kQueued, kFound, kRounds };
  Stage stage_ = Stage::kNone;
  PlanMode mode_ = PlanMode::kTrain;
  RowsWanted wanted_;
  Found found_;
  // Missing rows that no round has had.
  struct Left {
    std::int64_t first = 0;  // in the list of missing rows
    std::int64_t in_host = 0, untouched = 0, on_disk = 0;
    std::int64_t rows() const { return in_host + untouched + on_disk; }
  };
  Left left_;
  PlannedLease* lease_ = nullptr;          // null for a hint
  kernels::SlotId* plan_slots_ = nullptr;  // device: of the plan's rows
  // Free slots as the host knows them: of the host tier at the least.
  std::int64_t free_device_ = 0, free_host_ = 0;

  kernels::LookupReport known_;  // the last report that was waited for
  std::int64_t lease_rows_;      // the most of one lease
  std::int64_t round_rows_;      // the most of one round
  kernels::DeviceArray<kernels::SlotId>
      found_slots_;                               // [lease_rows_], of all but leases that train
  kernels::DeviceArray<kernels::SlotId> places_;  // [evaluation_slots]: 0, 1, 2, ...
  kernels::DeviceArray<std::uint32_t> missing_;   // [lease_rows_]
  kernels::DeviceArray<kernels::LookupReport> report_;  // [1], pinned host
  kernels::DeviceArray<kernels::RowId> disk_rows_;      // [lease_rows_], pinned host
  kernels::DeviceArray<kernels::RowId> hinted_rows_;    // [lease_rows_], pinned host
  std::vector<RoundLists> lists_;                       // two
  std::size_t current_list_ = 0;
  // Victims of the host tier; pinned host.
  kernels::DeviceArray<kernels::SlotId> victim_slots_;
  kernels::DeviceArray<kernels::RowId> victim_rows_;
  kernels::DeviceArray<std::uint8_t> victim_state_;
  kernels::DeviceArray<std::uint64_t> victim_count_;  // [1]
  // Hints and rows to locate; pinned host.
  kernels::DeviceArray<kernels::RowId> list_rows_;
  kernels::DeviceArray<kernels::SlotId> list_slots_;
  kernels::DeviceArray<std::uint64_t> list_count_;  // [1]
  // Of dirty(); made by the first.
  struct DirtyLists {
    kernels::DeviceArray<kernels::SlotId> slots;
    kernels::DeviceArray<kernels::RowId> rows;
    kernels::DeviceArray<std::uint64_t> count;
  };
  std::array<DirtyLists, 2> dirty_;

  std::vector<std::unique_ptr<PlannedLease>> leases_;  // that train and are live, oldest first
  PlannedLease read_only_lease_;
  bool read_only_lease_is_live_ = false;
  kernels::DeviceArray<kernels::SlotId> next_slots_;  // of the lease that is looked up
  std::vector<kernels::DeviceArray<kernels::SlotId>> slot_buffers_;  // of ended leases
  std::uint64_t placed_ = 0;     // untouched rows that found a place, since the start
  std::uint64_t forgotten_ = 0;  // victims that went nowhere, without a host tier
  // Rows that hints have brought to a tier since the start, and of the host tier's, those that a
  // hint took on to the device.
  std::uint64_t hinted_to_host_ = 0, hinted_to_device_ = 0, promoted_ = 0;
};

}  // namespace mneme::offload
