// Writes rows to the disk: victims of the host tier, victims of the device tier where there is no
// host tier, and every dirty row at a checkpoint.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "kernels/device_array.h"
#include "offload/tiers.h"

namespace mneme::offload {

class WriteBack {
 public:
  explicit WriteBack(Tiers& tiers);

  // Frees `wanted` more host slots; dirty victims are written to the disk. Rows that lease number
  // `lease` wants stay (between leases: the number of the next). Returns how many slots became
  // free, which is fewer where all others are wanted or free already. Waits for the plan's stream,
  // and where records are written, for the transfers.
  std::int64_t make_host_room(std::int64_t wanted, std::uint32_t lease);
  // Writes the records of device victims that are dirty to the disk; they are unbound already.
  // lists: pinned host, filled once the plan's stream has run; this waits for it. Returns how many
  // were clean rows that had never been written: nobody has them now.
  std::int64_t write_device_victims(const VictimLists& lists);
  // Writes every dirty record to a fresh disk slot and makes it durable; copies stay.
  void flush();
  // Counts for a flush in which these rows (ascending) are dirty, too: the slots that it writes,
  // and the slots that it frees because no checkpoint refers to them. Waits for the plan's stream.
  struct Need {
    std::uint64_t dirty_rows = 0, given_up = 0;
  };
  Need need_with(std::span<const kernels::RowId> rows);

 private:
  void write_host_record(kernels::SlotId slot, kernels::RowId row);
  void write_device_records(const kernels::SlotId* slots, const kernels::RowId* rows,
                            std::int64_t count);
  void flush_host();
  void submit(std::uint32_t buffer, kernels::RowId row);
  void reclaim_stale_slots();
  // Dirty slots of a tier and their rows, in host memory. Synchronises.
  struct DirtyLists {
    kernels::DeviceArray<kernels::SlotId> slots;
    kernels::DeviceArray<kernels::RowId> rows;
  };
  DirtyLists make_dirty_lists() const;
  std::int64_t list_dirty(const kernels::SlotTable& table, const DirtyLists& lists);

  Tiers& tiers_;
  // Pinned host.
  kernels::DeviceArray<kernels::SlotId> staged_;  // [write buffers]: staging buffers of one batch
  kernels::DeviceArray<kernels::SlotId> batch_;   // [write buffers]: device slots of one batch
  kernels::DeviceArray<std::uint64_t> dirty_count_;  // [1]
  DirtyLists dirty_;                                 // of a flush; made by the first
  DirtyLists stale_;  // of reclaiming, which may come within a flush; made by the first
  // The first generation that the running flush writes: its slots are not stale, though their rows
  // are still marked dirty.
  std::uint64_t flush_generation_ = std::numeric_limits<std::uint64_t>::max();
  std::vector<kernels::RowId> batch_rows_;
};

}  // namespace mneme::offload
