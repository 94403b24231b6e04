#include "offload/page_in.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "io/check.h"

namespace mneme::offload {

void PageIn::move(std::span<const kernels::RowId> rows, const kernels::SlotId* slots) {
  run({rows, slots, &tiers_.device.arena(), true});
}

void PageIn::copy(std::span<const kernels::RowId> rows, const kernels::SlotId* slots,
                  const kernels::RowArena& arena) {
  run({rows, slots, &arena, false});
}

void PageIn::run(const Request& request) {
  host_.clear();
  disk_.clear();
  untouched_.clear();
  for (std::uint32_t i = 0; i < request.rows.size(); ++i) {
    switch (tiers_.residency.place(request.rows[i])) {
      case Place::kHost:
        host_.push_back(i);
        break;
      case Place::kDisk:
        disk_.push_back(i);
        break;
      case Place::kUntouched:
        untouched_.push_back(i);
        break;
      case Place::kDevice:
        CHECK(false, "row {} is on the device and missing there", request.rows[i]);
    }
  }
  tiers_.counters.misses_cold += untouched_.size();
  tiers_.counters.misses_capacity += host_.size() + disk_.size();
  from_host(request);
  generate(request);
  from_disk(request);
}

void PageIn::from_host(const Request& request) {
  // Clean and dirty records in separate batches: a batch is marked as a whole.
  for (const bool dirty : {false, true}) {
    std::int64_t listed = 0;
    for (const std::uint32_t i : host_) {
      const std::uint32_t slot = tiers_.residency.host_slot(request.rows[i]);
      if (tiers_.host.dirty(slot) != dirty) continue;
      lists_.records[listed] = tiers_.host.record(slot);
      lists_.slots[listed] = request.slots[i];
      lists_.rows[listed] = request.rows[i];
      if (tiers_.host.prefetched(slot) && request.moving) ++tiers_.counters.prefetch_used;
      if (++listed == TransferLists::kLength) {
        unpack(request, listed, dirty);
        listed = 0;
      }
    }
    unpack(request, listed, dirty);
    // Only the dirty ones are left to look up in the second round.
    if (!dirty && request.moving) {
      std::erase_if(host_, [&](std::uint32_t i) {
        return tiers_.residency.place(request.rows[i]) != Place::kHost;
      });
    }
  }
}

void PageIn::unpack(const Request& request, std::int64_t count, bool dirty) {
  if (count == 0) return;
  tiers_.backend.unpack_records(tiers_.stream, *request.arena, lists_.records, lists_.slots, count);
  if (request.moving && dirty) {
    tiers_.device.mark_dirty(lists_.slots, count);
  }
  tiers_.stream.synchronize();
  tiers_.counters.host.rows_read += static_cast<std::uint64_t>(count);
  tiers_.counters.host.bytes_read += static_cast<std::uint64_t>(count) * tiers_.record_bytes;
  if (!request.moving) return;
  for (std::int64_t i = 0; i < count; ++i) {
    tiers_.host.release(tiers_.residency.host_slot(lists_.rows[i]));
    tiers_.residency.set_device(lists_.rows[i]);
  }
}

void PageIn::generate(const Request& request) {
  for (std::size_t first = 0; first < untouched_.size(); first += TransferLists::kLength) {
    const std::size_t count =
        std::min<std::size_t>(TransferLists::kLength, untouched_.size() - first);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t index = untouched_[first + i];
      lists_.rows[i] = request.rows[index];
      lists_.slots[i] = request.slots[index];
      if (request.moving) tiers_.residency.set_device(lists_.rows[i]);
    }
    tiers_.backend.generate_rows(tiers_.stream, *request.arena, lists_.rows, lists_.slots,
                                 static_cast<std::int64_t>(count), init_);
    tiers_.stream.synchronize();
  }
  tiers_.counters.rows_generated += untouched_.size();
}

void PageIn::from_disk(const Request& request) {
  // A demand read goes before every queued prefetch; one that is already on its way is awaited.
  const auto on_its_way = std::stable_partition(disk_.begin(), disk_.end(), [&](std::uint32_t i) {
    return !prefetching_.contains(request.rows[i]);
  });
  const auto to_start = static_cast<std::size_t>(on_its_way - disk_.begin());
  if (request.moving) tiers_.counters.prefetch_late += disk_.size() - to_start;
  std::size_t started = 0;
  std::size_t arrived = 0;
  std::vector<std::uint32_t> buffers;
  const std::size_t batch = std::max<std::size_t>(1, tiers_.disk.read_buffers() / 4);
  while (arrived < disk_.size()) {
    while (started < to_start) {
      const kernels::RowId row = request.rows[disk_[started]];
      if (!tiers_.disk.start_read(row, tiers_.residency.disk_slot(row), tiers_.counters)) break;
      ++started;
    }
    buffers.clear();
    while (buffers.size() < std::min(batch, disk_.size() - arrived)) {
      const auto read = tiers_.disk.finished_read(buffers.empty(), tiers_.counters);
      if (!read) {
        CHECK(!buffers.empty(), "{} rows are wanted and no read is on its way",
              disk_.size() - arrived);
        break;
      }
      const auto found = std::lower_bound(request.rows.begin(), request.rows.end(), read->row);
      if (found == request.rows.end() || *found != read->row) {
        store_prefetched(*read);
        continue;
      }
      prefetching_.erase(read->row);
      lists_.records[buffers.size()] =
          const_cast<std::byte*>(tiers_.disk.read_payload(read->buffer));
      lists_.slots[buffers.size()] = request.slots[found - request.rows.begin()];
      buffers.push_back(read->buffer);
      if (request.moving) tiers_.residency.set_device(read->row);
    }
    tiers_.backend.unpack_records(tiers_.stream, *request.arena, lists_.records, lists_.slots,
                                  static_cast<std::int64_t>(buffers.size()));
    tiers_.stream.synchronize();
    for (const std::uint32_t buffer : buffers) tiers_.disk.release_read(buffer);
    arrived += buffers.size();
  }
}

void PageIn::prefetch(std::span<const kernels::RowId> rows, std::uint64_t byte_budget) {
  if (tiers_.host.slots() == 0) return;  // nowhere to put them
  prefetch_queue_.clear();
  // At most half of the host tier, so that prefetched rows do not displace each other before use.
  const std::size_t most = std::max<std::size_t>(1, tiers_.host.slots() / 2);
  std::uint64_t bytes = 0;
  for (const kernels::RowId row : rows) {
    if (tiers_.residency.place(row) != Place::kDisk || prefetching_.contains(row)) continue;
    bytes += tiers_.record_bytes;
    if (bytes > byte_budget || prefetch_queue_.size() + prefetching_.size() >= most) break;
    prefetch_queue_.push_back(row);
  }
  advance_prefetch();
}

void PageIn::advance_prefetch() {
  while (!prefetching_.empty()) {
    const auto read = tiers_.disk.finished_read(false, tiers_.counters);
    if (!read) break;
    store_prefetched(*read);
  }
  // Half of the read buffers stay free for demand reads.
  const std::size_t limit =
      std::min<std::size_t>(tiers_.disk.read_buffers() / 2, tiers_.host.slots());
  while (!prefetch_queue_.empty() && prefetching_.size() < limit) {
    const kernels::RowId row = prefetch_queue_.front();
    if (tiers_.residency.place(row) == Place::kDisk && !prefetching_.contains(row)) {
      if (!tiers_.disk.start_read(row, tiers_.residency.disk_slot(row), tiers_.counters)) return;
      prefetching_.insert(row);
    }
    prefetch_queue_.pop_front();
  }
}

void PageIn::finish_prefetch() {
  prefetch_queue_.clear();
  while (!prefetching_.empty()) {
    const auto read = tiers_.disk.finished_read(true, tiers_.counters);
    CHECK(read.has_value());
    store_prefetched(*read);
  }
}

void PageIn::store_prefetched(const FinishedRead& read) {
  CHECK(prefetching_.erase(read.row) == 1);
  CHECK(tiers_.residency.place(read.row) == Place::kDisk);
  if (tiers_.host.free_slots() == 0) write_back_.make_host_room(1);
  const std::uint32_t slot = tiers_.host.take(
      read.row, false, tiers_.residency.count_demotion(read.row), true, tiers_.step + 2);
  std::memcpy(tiers_.host.record(slot), tiers_.disk.read_payload(read.buffer), tiers_.record_bytes);
  tiers_.disk.release_read(read.buffer);
  tiers_.residency.set_host(read.row, slot);
  ++tiers_.counters.prefetched;
  tiers_.counters.prefetched_bytes += tiers_.record_bytes;
  tiers_.counters.host.rows_written += 1;
  tiers_.counters.host.bytes_written += tiers_.record_bytes;
}

}  // namespace mneme::offload
