// Reads of hinted rows from the disk into the slots of the host tier that the planner has given
// them. They use half of the read buffers at the most, so that the reads of a lease find some.
// Reads go on whenever the store is entered; a lease that takes a row waits for its read.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <unordered_map>
#include <vector>

#include "offload/disk/disk_tier.h"
#include "offload/ledger/ledger.h"
#include "offload/mover/mover.h"

namespace mneme::offload {

class HintReads {
 public:
  HintReads(Mover& mover, DiskTier& disk, Ledger& ledger)
      : mover_(mover), disk_(disk), ledger_(ledger) {}

  // Rows on disk and the host slots that nothing else uses any more. Booked to the open account.
  void add(std::span<const kernels::RowId> rows, std::span<const kernels::SlotId> slots);
  // Stores what has arrived, starts what is waiting. Does not wait.
  void advance();
  // The rows of a hint among these that have not arrived yet.
  std::vector<kernels::RowId> waiting(std::span<const kernels::RowId> rows) const;
  // Waits for rows that waiting() has named. REQUIRES: every read buffer is free or being read.
  void await(std::span<const kernels::RowId> rows);
  // The row has lost its slot. Waits for its read where that is under way.
  void cancel(kernels::RowId row);

 private:
  struct Pending {
    kernels::SlotId slot = 0;
    bool is_reading = false;
    Account account = {};
  };
  // False when no read buffer is free.
  bool start(kernels::RowId row, Pending& pending);
  // Stores a record that has arrived; false where there is none.
  bool take_finished(bool wait);

  Mover& mover_;
  DiskTier& disk_;
  Ledger& ledger_;
  std::unordered_map<kernels::RowId, Pending> pending_;
  std::deque<kernels::RowId> queue_;  // in the order of the hints; those not pending are skipped
  std::size_t reading_ = 0;
};

}  // namespace mneme::offload
