#include "offload/page_in.h"

#include <algorithm>

#include "io/check.h"

namespace mneme::offload {

using kernels::RowId;
using kernels::SlotId;

PageIn::PageIn(Tiers& tiers, DiskPrefetch& prefetch)
    : tiers_(tiers),
      prefetch_(prefetch),
      batch_rows_(std::max<std::int64_t>(1, tiers.disk.read_buffers() / kBatches)),
      lists_(kernels::pinned_array<SlotId>(tiers.backend,
                                           static_cast<std::int64_t>(kBatches) * batch_rows_ * 2)) {
  SlotId* next = lists_.data();
  for (Batch& batch : batches_) {
    batch.buffers = next;
    batch.slots = next + batch_rows_;
    batch.moved = tiers.backend.create_event();
    next += 2 * batch_rows_;
  }
}

void PageIn::start(std::span<const RowId> rows) {
  considered_ = 0;
  arrived_.assign(rows.size(), false);
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
  for (; considered_ < rows.size(); ++considered_) {
    const RowId row = rows[considered_];
    if (arrived_[considered_] || prefetch_.on_its_way(row)) continue;
    if (!tiers_.disk.start_read(row, tiers_.residency.disk_slot(row), tiers_.counters)) return;
  }
}

void PageIn::bring(std::span<const RowId> rows, const SlotId* slots, std::span<const RowId> later,
                   const kernels::RowArena& arena) {
  tiers_.counters.prefetch_late += static_cast<std::uint64_t>(std::count_if(
      rows.begin(), rows.end(), [&](RowId row) { return prefetch_.on_its_way(row); }));
  kernels::Stream& stream = tiers_.transfers.page_in();
  std::size_t arrived = 0;
  while (arrived < rows.size()) {
    start_more(rows);
    Batch& batch = free_batch();
    collect(batch, rows, slots, later, rows.size() - arrived);
    if (batch.count == 0) {
      // Every staging buffer is on its way to the device.
      CHECK(finish_oldest(), "{} rows are wanted and no read is on its way", rows.size() - arrived);
      continue;
    }
    tiers_.backend.unpack_records(stream, arena, tiers_.disk.staging(), batch.buffers, batch.slots,
                                  batch.count);
    stream.record(*batch.moved);
    arrived += static_cast<std::size_t>(batch.count);
    next_batch_ = (next_batch_ + 1) % kBatches;
    finish_reached();
  }
}

// Records that have arrived from the disk; waits for the first.
void PageIn::collect(Batch& batch, std::span<const RowId> rows, const SlotId* slots,
                     std::span<const RowId> later, std::size_t most) {
  const auto limit = std::min(batch_rows_, static_cast<std::int64_t>(most));
  while (batch.count < limit) {
    const auto read = tiers_.disk.finished_read(batch.count == 0, tiers_.counters);
    if (!read) return;
    const auto found = std::lower_bound(rows.begin(), rows.end(), read->row);
    if (found == rows.end() || *found != read->row) {
      // A row that has its turn later must not be in the host tier then.
      if (std::binary_search(later.begin(), later.end(), read->row)) {
        prefetch_.drop(*read);
      } else {
        prefetch_.store(*read);
      }
      continue;
    }
    prefetch_.forget(read->row);
    const auto index = static_cast<std::size_t>(found - rows.begin());
    arrived_[index] = true;
    batch.buffers[batch.count] = read->buffer;
    batch.slots[batch.count] = slots[index];
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
  for (std::int64_t i = 0; i < batch.count; ++i) tiers_.disk.release_read(batch.buffers[i]);
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
