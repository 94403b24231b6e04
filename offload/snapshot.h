// The rows of a checkpoint under way, while training goes on. What was dirty when it began is
// written as it was then: row by row while there is room among the disk's buffers, and a row that a
// lease is about to change before that. A row that leaves memory meanwhile is written then, as any
// victim.
//
//   begin()          the plan marks what is dirty, and the disk seals its table
//   write_some()     ... from time to time: as many rows as find room
//   copy_leased()    ... before each training lease: its rows; waits for room
//   is_written()     all records are in the files
//
// Memory besides the buffers: 4 bytes for each row that was dirty.
#pragma once

#include <cstdint>
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

  // REQUIRES: no lease is live. Waits for the plan.
  void begin();
  // Whether records are still to be taken from memory.
  bool is_open() const { return disk_.unsaved_rows() > 0; }
  // Does not wait for the disk.
  void write_some();
  // rows: device, [count], distinct: of the look-up that the planner has done last.
  void copy_leased(const kernels::RowId* rows, std::int64_t count);
  bool is_written();
  // Waits until it is.
  void finish();

 private:
  void write_next(std::int64_t most);
  void write(const Planner::Unsaved& taken);
  // Waits for buffers: the first ones of `count`; how many.
  std::int64_t stage(std::int64_t count);
  void book_time();

  Planner& planner_;
  Mover& mover_;
  DiskEngine& disk_;
  WriteBack& write_back_;
  Ledger& ledger_;
  std::vector<kernels::RowId> rows_;  // that were dirty; from next_ on they may still be unsaved
  std::size_t next_ = 0;
  // Pinned host: of one batch.
  kernels::DeviceArray<kernels::SlotId> buffers_, slots_;
  std::uint64_t booked_us_ = 0;  // of the disk's save_us
};

}  // namespace mneme::offload
