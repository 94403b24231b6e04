// The rows of a checkpoint under way, while training goes on. What was dirty when it began is
// written as it was then: as buffers of the disk come free, and rows that a lease is about to
// change before that. A row that leaves memory meanwhile is written then, as any victim.
//
//   begin()          the plan marks what is dirty, and the disk seals its table
//   settle()         copies that were queued go to the disk: before what they hold is asked for
//   there copy_leased()    ... before each training lease: its rows; its work waits for all copies
//   write_some()     ... from time to time: others, where half of the buffers are free
//   is_written()     all records are in the files
//
// Records are copied into the disk's buffers on the write-back stream, and nobody waits for that
// but the plan, where rows of a lease are among them, and the next call. A row that was taken has
// its record's place on disk only when it is settled: nothing may be read from there, or planned
// for a hint, before.
//
// Memory besides the buffers: 4 bytes for each row that was dirty, and lists of the copies.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "kernels/device_array.h"
#include "offload/disk/disk_engine.h"
#include "offload/ledger/ledger.h"
#include "offload/mover/mover.h"
#include "offload/planner/planner.h"
#include "offload/write_back.h"

namespace mneme::offload {

class Snapshot {
 public:
  Snapshot(kernels::Backend& backend, Planner& planner, Mover& mover, DiskEngine& disk,
           WriteBack& write_back, Ledger& ledger);
  // Waits for what is queued.
  ~Snapshot();

  // Called with the most rows that are taken next, of those that no lease has asked for.
  void on_take(std::function<void(std::int64_t most)> tell) { tell_ = std::move(tell); }
  // REQUIRES: no lease is live. Waits for the plan.
  void begin();
  // Whether records are still to be written.
  bool is_open() const { return disk_.unsaved_rows() > 0; }
  // Whether records are on their way into buffers: rows must not change before that is done, also
  // where no more are to be written.
  bool is_copying() const { return !copying_.empty(); }
  // rows: device, [count], distinct: of the look-up that the planner has done last. Work queued on
  // the planner's stream afterwards may change them. Waits for buffers for them.
  void copy_leased(const kernels::RowId* rows, std::int64_t count);
  // Does not wait for the disk.
  void write_some();
  // Waits for the copies under way.
  void settle();
  bool is_written();
  // Waits until it is.
  void finish();

 private:
  // Records on their way into buffers.
  struct Copies {
    Field move = Field::kDeviceToDiskRows;
    std::int64_t count = 0;
    kernels::DeviceArray<kernels::SlotId> buffers, slots;  // pinned host, [kMostCopied]
    std::unique_ptr<kernels::Event> began, done;
  };
  static constexpr std::int64_t kMostCopied = 4096;

  void submit_copied();
  void write_next(std::int64_t most);
  Planner::Unsaved take_next(std::int64_t most);
  std::int64_t most_others() const;
  void copy(const Planner::Unsaved& taken);
  void copy(Field move, std::span<const kernels::RowId> rows,
            std::span<const kernels::SlotId> slots);
  std::unique_ptr<Copies> spare_copies();
  // Free buffers for some of `rows`: how many. Waits where there are none.
  std::int64_t stage(Copies& copies, std::int64_t rows);
  void submit_first();
  void book_time();

  kernels::Backend& backend_;
  Planner& planner_;
  Mover& mover_;
  DiskEngine& disk_;
  WriteBack& write_back_;
  Ledger& ledger_;
  std::vector<kernels::RowId> rows_;  // that were dirty; from next_ on they may still be unsaved
  std::size_t next_ = 0;
  std::deque<std::unique_ptr<Copies>> copying_;  // under way, in order
  std::uint64_t copying_rows_ = 0;
  std::vector<std::unique_ptr<Copies>> spare_;
  double copied_per_second_ = 0;  // rows, of late
  std::function<void(std::int64_t most)> tell_;
  std::uint64_t booked_us_ = 0;  // of the disk's save_us
};

}  // namespace mneme::offload
