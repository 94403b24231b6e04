// Reads rows from the disk into the host tier before they are asked for. Prefetches use half of the
// read buffers at the most, so that the reads of a lease never queue up behind them.
//
// The host reserves a few free host slots and copies records into them as reads arrive, whenever
// that is. The slot tables on the device get the new entries at the start of the next lease.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <unordered_set>
#include <vector>

#include "kernels/device_array.h"
#include "offload/tiers.h"
#include "offload/write_back.h"

namespace mneme::offload {

class DiskPrefetch {
 public:
  DiskPrefetch(Tiers& tiers, WriteBack& write_back);

  // Queues reads of those rows that are on disk only, and forgets what was queued before. They may
  // take up to half of the host tier, from the rows that are worth least there. Synchronises with
  // the device; does not wait for the reads, but may wait for room among the writes.
  void request(std::span<const kernels::RowId> rows, std::uint64_t byte_budget);
  // Stores what has arrived, starts what is waiting.
  void advance();
  // Waits for every read on its way, forgets what is queued and gives back the slots at hand.
  void finish();
  // Queues the rows stored since the last call into the tables. The plan's stream must have run
  // since then.
  void publish();

  bool on_its_way(kernels::RowId row) const { return reading_.contains(row); }
  // A lease takes the row itself, with its read if one is on its way.
  void forget(kernels::RowId row) {
    reading_.erase(row);
    queued_.erase(row);
  }
  // A read that is not a lease's has arrived: to be kept, or for nothing.
  void store(const FinishedRead& read);
  void drop(const FinishedRead& read);
  // Host slots that are neither free nor occupied as far as the tables know.
  std::int64_t held_slots() const {
    return static_cast<std::int64_t>(slots_.size() + stored_.size());
  }

 private:
  void queue(std::span<const kernels::RowId> rows, std::uint64_t byte_budget);
  void take_slots();
  void give_back_slots();
  std::int64_t free_host_slots();

  struct Stored {
    kernels::RowId row;
    kernels::SlotId slot;
  };

  Tiers& tiers_;
  WriteBack& write_back_;
  std::size_t most_ = 0;     // rows of one request
  std::size_t at_hand_ = 0;  // the most slots taken ahead of reads
  // Pinned host.
  kernels::DeviceArray<kernels::RowId> list_rows_;      // [most_]
  kernels::DeviceArray<kernels::SlotId> list_slots_;    // [most_]
  kernels::DeviceArray<kernels::LookupReport> report_;  // [1]
  kernels::DeviceArray<std::uint64_t> count_;           // [1]
  std::deque<kernels::RowId> queue_;
  std::unordered_set<kernels::RowId> queued_;   // of the queue, those that are still wanted
  std::unordered_set<kernels::RowId> reading_;  // bounded by the read buffers
  std::vector<kernels::SlotId> slots_;          // at hand
  std::vector<Stored> stored_;                  // the tables do not know of them yet
};

}  // namespace mneme::offload
