// Writes victims to the disk: those of the host tier, and of the device tier where there is no host
// tier. Which rows these are the planner says.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/device_array.h"
#include "offload/disk/disk_engine.h"
#include "offload/hint_reads.h"
#include "offload/ledger/ledger.h"
#include "offload/mover/mover.h"
#include "offload/planner/planner.h"

namespace mneme::offload {

class WriteBack {
 public:
  WriteBack(kernels::Backend& backend, Planner& planner, Mover& mover, DiskEngine& disk,
            HintReads& hints, Ledger& ledger);

  // Writes the records of victims that are dirty; they are unbound already. Waits for the transfers
  // that still fill their slots, and for room among the writes.
  void write_host_victims(const Victims& victims);
  void write_device_victims(const Victims& victims);
  // Gives rows their places on disk (DiskEngine::assign_writes); where it is full, stale records
  // give up their slots.
  void assign(std::span<kernels::SlotId> buffers, std::span<const kernels::RowId> rows);
  // Records that are in their buffers go to the disk, and are booked.
  void queue(std::span<const kernels::SlotId> buffers, Field move);
  // Counts for a flush in which these rows (ascending) are dirty, too: the slots that it writes,
  // and the slots that it frees because no checkpoint refers to them. Waits for the planner.
  struct Need {
    std::uint64_t dirty_rows = 0, given_up = 0;
  };
  Need need_with(std::span<const kernels::RowId> rows);

 private:
  // The batch: rows and the slots that they leave.
  void start_batch();
  void add_to_batch(kernels::SlotId slot, kernels::RowId row);
  bool is_full() const;
  void write_host_records();
  void submit(Field move);
  void write_device_records();
  void reclaim_stale_slots(std::span<const kernels::RowId> submitted);
  // Books the time since the last call in which writes were under way.
  void book_time(Field move);

  Planner& planner_;
  Mover& mover_;
  DiskEngine& disk_;
  HintReads& hints_;
  Ledger& ledger_;
  // Pinned host, [disk.write_batch()].
  kernels::DeviceArray<kernels::SlotId> staged_;  // staging buffers of one batch
  kernels::DeviceArray<kernels::SlotId> batch_;   // slots of one batch
  std::vector<kernels::RowId> batch_rows_;
  std::uint64_t booked_us_ = 0;  // of the disk's write_us
};

}  // namespace mneme::offload
