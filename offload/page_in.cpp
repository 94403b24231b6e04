#include "offload/page_in.h"

#include <algorithm>

#include "io/check.h"

namespace mneme::offload {

using kernels::RowId;
using kernels::SlotId;

PageIn::PageIn(kernels::Backend& backend, Mover& mover, DiskTier& disk, Ledger& ledger)
    : mover_(mover),
      disk_(disk),
      ledger_(ledger),
      batch_rows_(std::max<std::int64_t>(1, disk.read_buffers() / kBatches)),
      lists_(kernels::pinned_array<SlotId>(backend,
                                           static_cast<std::int64_t>(kBatches) * batch_rows_ * 2)) {
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
  for (; started_ < rows.size(); ++started_) {
    const auto bytes = disk_.start_read(rows[started_], ReadFor::kLease);
    if (!bytes) return;
    ledger_.book_move(Field::kDiskToDeviceRows, 1, *bytes);
  }
}

void PageIn::bring(std::span<const RowId> rows, const SlotId* slots,
                   const kernels::RowArena& arena) {
  std::size_t arrived = 0;
  while (arrived < rows.size()) {
    start_more(rows);
    Batch& batch = free_batch();
    collect(batch, rows, slots, rows.size() - arrived);
    if (batch.count == 0) {
      // Every staging buffer is on its way to the device.
      CHECK(finish_oldest(), "{} rows are wanted and no read is on its way", rows.size() - arrived);
      continue;
    }
    mover_.unpack_staging(arena, disk_.staging(), batch.buffers, batch.slots, batch.count);
    mover_.page_in().record(*batch.moved);
    arrived += static_cast<std::size_t>(batch.count);
    next_batch_ = (next_batch_ + 1) % kBatches;
    finish_reached();
  }
}

void PageIn::release_buffers() {
  while (finish_oldest()) {
  }
}

// Records that have arrived from the disk; waits for the first.
void PageIn::collect(Batch& batch, std::span<const RowId> rows, const SlotId* slots,
                     std::size_t most) {
  const auto limit = std::min(batch_rows_, static_cast<std::int64_t>(most));
  while (batch.count < limit) {
    const auto read = disk_.finished_read(ReadFor::kLease, batch.count == 0);
    if (!read) return;
    const auto found = std::lower_bound(rows.begin(), rows.end(), read->row);
    CHECK(found != rows.end() && *found == read->row, "row {} was not asked for", read->row);
    batch.buffers[batch.count] = read->buffer;
    batch.slots[batch.count] = slots[found - rows.begin()];
    ++batch.count;
  }
}

PageIn::Batch& PageIn::free_batch() {
  Batch& batch = batches_[next_batch_];
  if (batch.count > 0) finish(batch);
  return batch;
}

void PageIn::finish(Batch& batch) {
  batch.moved->synchronize();
  for (std::int64_t i = 0; i < batch.count; ++i) disk_.release_read(batch.buffers[i]);
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
