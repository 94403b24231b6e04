// Hinted rows on their way from the disk to the slots of the host tier that the planner has given
// them. The disk engine reads them when it has nothing better to do; a lease that takes a row waits
// for its read.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "offload/disk/disk_engine.h"
#include "offload/ledger/ledger.h"
#include "offload/mover/mover.h"

namespace mneme::offload {

class HintReads {
 public:
  HintReads(Mover& mover, DiskEngine& disk, Ledger& ledger)
      : mover_(mover), disk_(disk), ledger_(ledger) {}

  // Rows on disk and the host slots that nothing else uses any more. Booked to the open account.
  void add(std::span<const kernels::RowId> rows, std::span<const kernels::SlotId> slots);
  // Books what has happened since the last call. Does not wait.
  void collect();
  // The rows of a hint among these that have not arrived yet.
  std::vector<kernels::RowId> waiting(std::span<const kernels::RowId> rows) const;
  // Waits for rows that waiting() has named.
  void await(std::span<const kernels::RowId> rows);
  // Waits for all.
  void finish();
  // The row has lost its slot. Waits for its read where that is under way.
  void cancel(kernels::RowId row);

 private:
  // Waits until `is_done`, which looks at what is pending.
  template <typename Predicate>
  void collect_until(const Predicate& is_done);

  Mover& mover_;
  DiskEngine& disk_;
  Ledger& ledger_;
  std::unordered_map<kernels::RowId, Account> pending_;
  std::uint64_t booked_us_ = 0;
  std::vector<std::byte*> targets_;
};

}  // namespace mneme::offload
