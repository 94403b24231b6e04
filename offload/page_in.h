// Reads the rows of a lease that are on disk. Each record is read into a staging buffer in pinned
// memory and copied from there into its device slot. Reads are kept at a constant depth; records
// that have arrived are copied in batches, of which a few are under way at once.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/device_array.h"
#include "offload/disk/disk_engine.h"
#include "offload/ledger/ledger.h"
#include "offload/mover/mover.h"

namespace mneme::offload {

class PageIn {
 public:
  PageIn(kernels::Backend& backend, Mover& mover, DiskEngine& disk, Ledger& ledger);

  // Queues as many reads of `rows` (ascending, on disk) as the staging buffers allow. bring() has
  // to follow with the same rows.
  void start(std::span<const kernels::RowId> rows);
  // Brings the rows into slots of an arena. slots: [rows.size()], host memory. The transfers are
  // queued on the page-in stream when this returns.
  void bring(std::span<const kernels::RowId> rows, const kernels::SlotId* slots,
             const kernels::RowArena& arena);
  // Books what the disk was asked for. bring() does, unless it fails.
  void book();

 private:
  // Records in staging buffers and where they go.
  struct Batch {
    kernels::SlotId* buffers = nullptr;  // pinned host
    kernels::SlotId* slots = nullptr;    // pinned host
    std::int64_t count = 0;
    std::unique_ptr<kernels::Event> moved;
  };
  static constexpr std::size_t kBatches = 4;

  void start_more(std::span<const kernels::RowId> rows);
  Batch& free_batch();
  void finish(Batch& batch);
  void finish_reached();
  bool finish_oldest();
  void collect(Batch& batch, const kernels::SlotId* slots, std::size_t most);

  Mover& mover_;
  DiskEngine& disk_;
  Ledger& ledger_;
  std::int64_t batch_rows_;
  kernels::DeviceArray<kernels::SlotId> lists_;  // of the batches; pinned host
  std::array<Batch, kBatches> batches_;
  std::size_t next_batch_ = 0;          // the oldest
  std::size_t started_ = 0;             // rows whose reads are asked for
  std::size_t arrived_ = 0;             // of these, rows that are in a batch
  std::vector<FinishedRead> finished_;  // [batch_rows_]
  DiskEngine::Asked booked_;
};

}  // namespace mneme::offload
