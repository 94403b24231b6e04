#include "offload/page_in.h"

#include <algorithm>

#include "io/check.h"

namespace mneme::offload {

using kernels::RowId;
using kernels::SlotId;

PageIn::PageIn(kernels::Backend& backend, Mover& mover, DiskEngine& disk, Ledger& ledger)
    : mover_(mover),
      disk_(disk),
      ledger_(ledger),
      batch_rows_(
          std::max<std::int64_t>(1, static_cast<std::int64_t>(disk.read_buffers() / kBatches))),
      lists_(kernels::pinned_array<SlotId>(backend,
                                           static_cast<std::int64_t>(kBatches) * batch_rows_ * 2)),
      finished_(static_cast<std::size_t>(batch_rows_)) {
  SlotId* next = lists_.data();
  for (Batch& batch : batches_) {
    batch.buffers = next;
    batch.slots = next + batch_rows_;
    batch.moved = backend.create_event();
    next += 2 * batch_rows_;
  }
}

void PageIn::start(std::span<const RowId> rows) {
  started_ = 0;
  arrived_ = 0;
  finish_reached();
  start_more(rows);
}

// Whatever has reached the device by now gives its buffers to the next reads.
void PageIn::finish_reached() {
  for (Batch& batch : batches_) {
    if (batch.count > 0 && batch.moved->reached()) finish(batch);
  }
}

void PageIn::start_more(std::span<const RowId> rows) {
  started_ += disk_.start_reads(rows.subspan(started_), static_cast<std::uint32_t>(started_));
}

void PageIn::bring(std::span<const RowId> rows, const SlotId* slots,
                   const kernels::RowArena& arena) {
  while (arrived_ < rows.size()) {
    start_more(rows);
    Batch& batch = free_batch();
    collect(batch, slots, rows.size() - arrived_);
    if (batch.count == 0) {
      // Every staging buffer is on its way to the device.
      CHECK(finish_oldest(), "{} rows are wanted and no read is on its way",
            rows.size() - arrived_);
      continue;
    }
    mover_.unpack_staging(arena, disk_.staging(), batch.buffers, batch.slots, batch.count);
    mover_.page_in().record(*batch.moved);
    next_batch_ = (next_batch_ + 1) % kBatches;
    finish_reached();
  }
  book();
}

void PageIn::book() {
  const DiskEngine::Asked asked = disk_.asked();
  ledger_.book_move(Field::kDiskToDeviceRows, asked.rows - booked_.rows,
                    asked.bytes - booked_.bytes);
  booked_ = asked;
}

// Records that have arrived from the disk. A whole batch is waited for, so that threads take turns
// rarely; the batches before it are on their way to the device meanwhile.
void PageIn::collect(Batch& batch, const SlotId* slots, std::size_t most) {
  most = std::min({most, static_cast<std::size_t>(batch_rows_), started_ - arrived_});
  const std::size_t count = disk_.finished_reads(std::span(finished_).first(most), most);
  for (std::size_t i = 0; i < count; ++i) {
    batch.buffers[i] = finished_[i].buffer;
    batch.slots[i] = slots[finished_[i].index];
  }
  batch.count = static_cast<std::int64_t>(count);
  arrived_ += count;
}

PageIn::Batch& PageIn::free_batch() {
  Batch& batch = batches_[next_batch_];
  if (batch.count > 0) finish(batch);
  return batch;
}

void PageIn::finish(Batch& batch) {
  batch.moved->synchronize();
  disk_.release_reads({batch.buffers, static_cast<std::size_t>(batch.count)});
  batch.count = 0;
}

bool PageIn::finish_oldest() {
  for (std::size_t i = 0; i < kBatches; ++i) {
    Batch& batch = batches_[(next_batch_ + i) % kBatches];
    if (batch.count == 0) continue;
    finish(batch);
    return true;
  }
  return false;
}

}  // namespace mneme::offload
