#include "offload/write_back.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <utility>

#include "io/check.h"
#include "io/elapsed.h"
#include "io/progress.h"

namespace mneme::offload {

using kernels::RowId;
using kernels::SlotId;

WriteBack::WriteBack(Tiers& tiers)
    : tiers_(tiers),
      staged_(kernels::pinned_array<SlotId>(tiers.backend, tiers.disk.write_buffers())),
      batch_(kernels::pinned_array<SlotId>(tiers.backend, tiers.disk.write_buffers())),
      dirty_count_(kernels::pinned_array<std::uint64_t>(tiers.backend, 1)) {}

void WriteBack::submit(std::uint32_t buffer, RowId row) {
  if (!tiers_.disk.reserve_slot()) reclaim_stale_slots();
  Residency& residency = tiers_.residency;
  const auto previous = residency.has_disk_slot(row)
                            ? std::optional<std::uint32_t>(residency.disk_slot(row))
                            : std::nullopt;
  const std::uint32_t slot = tiers_.disk.submit_write(buffer, row, previous, tiers_.counters);
  residency.set_disk_slot(row, slot);
  tiers_.changed_rows.note(row);
}

std::int64_t WriteBack::make_host_room(std::int64_t wanted, std::uint32_t lease) {
  const auto start = std::chrono::steady_clock::now();
  const auto step = static_cast<std::uint32_t>(tiers_.step);
  std::int64_t made = 0;
  while (made < wanted) {
    const HostVictims victims =
        tiers_.host.select_victims(std::min(wanted - made, HostTier::kMostVictims), lease, step);
    if (victims.slots.empty()) break;
    bool arrived = false;
    for (std::size_t i = 0; i < victims.slots.size(); ++i) {
      if ((victims.state[i] & kernels::kDirty) != 0) {
        // Records may still be on their way into host memory.
        if (!std::exchange(arrived, true)) tiers_.transfers.write_back().synchronize();
        write_host_record(victims.slots[i], victims.rows[i]);
      } else {
        ++tiers_.counters.clean_dropped;
      }
      if ((victims.state[i] & kernels::kPrefetched) != 0) {
        ++tiers_.counters.prefetch_wasted;
        tiers_.counters.prefetch_wasted_bytes += tiers_.record_bytes;
      }
    }
    tiers_.host.release_victims();
    tiers_.counters.evicted_from_host += victims.slots.size();
    made += static_cast<std::int64_t>(victims.slots.size());
  }
  tiers_.room_us += io::elapsed_us(start);
  return made;
}

void WriteBack::write_host_record(SlotId slot, RowId row) {
  const std::uint32_t buffer = tiers_.disk.stage_write(tiers_.counters);
  std::memcpy(tiers_.disk.write_payload(buffer), tiers_.host.record(slot), tiers_.record_bytes);
  submit(buffer, row);
}

std::int64_t WriteBack::write_device_victims(const VictimLists& lists) {
  const auto start = std::chrono::steady_clock::now();
  tiers_.stream.synchronize();
  const std::uint64_t count = *lists.count;
  std::int64_t forgotten = 0;
  // In lists of their own: the plan still reads the victims' when it frees their slots.
  batch_rows_.clear();
  std::int64_t listed = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    if ((lists.state[i] & kernels::kDirty) == 0) {
      ++tiers_.counters.clean_dropped;
      forgotten += (lists.state[i] & kernels::kOnDisk) == 0 ? 1 : 0;
      continue;
    }
    batch_[listed] = lists.slots[i];
    batch_rows_.push_back(lists.rows[i]);
    if (++listed < tiers_.disk.write_buffers()) continue;
    write_device_records(batch_.data(), batch_rows_.data(), listed);
    batch_rows_.clear();
    listed = 0;
  }
  write_device_records(batch_.data(), batch_rows_.data(), listed);
  tiers_.room_us += io::elapsed_us(start);
  return forgotten;
}

// slots: pinned host. REQUIRES count <= disk.write_buffers().
void WriteBack::write_device_records(const SlotId* slots, const RowId* rows, std::int64_t count) {
  if (count == 0) return;
  for (std::int64_t i = 0; i < count; ++i) staged_[i] = tiers_.disk.stage_write(tiers_.counters);
  kernels::Stream& stream = tiers_.transfers.write_back();
  tiers_.backend.pack_records(stream, tiers_.device.arena(), tiers_.disk.staging(), staged_.data(),
                              slots, count);
  stream.synchronize();
  for (std::int64_t i = 0; i < count; ++i) submit(staged_[i], rows[i]);
}

// A row that came back from the disk and changed has left a slot there that only checkpoints may
// still want. It keeps the slot until it is written again, unless the disk is full.
void WriteBack::reclaim_stale_slots() {
  // A slot whose write is on its way is of no use to anybody yet.
  tiers_.disk.finish_writes();
  if (stale_.slots.count() == 0) stale_ = make_dirty_lists();
  for (const kernels::SlotTable* table : {&tiers_.device.table(), &tiers_.host.table()}) {
    if (table->slots == 0) continue;
    const std::int64_t count = list_dirty(*table, stale_);
    for (std::int64_t i = 0; i < count; ++i) {
      const RowId row = stale_.rows[i];
      if (!tiers_.residency.has_disk_slot(row)) continue;
      const std::uint32_t slot = tiers_.residency.disk_slot(row);
      if (tiers_.disk.generation(slot) >= flush_generation_) continue;
      tiers_.disk.discard(slot);
      tiers_.residency.clear_disk_slot(row);
    }
  }
}

WriteBack::Need WriteBack::need_with(std::span<const RowId> rows) {
  if (stale_.slots.count() == 0) stale_ = make_dirty_lists();
  std::vector<RowId> dirty(rows.begin(), rows.end());
  for (const kernels::SlotTable* table : {&tiers_.device.table(), &tiers_.host.table()}) {
    if (table->slots == 0) continue;
    const std::int64_t count = list_dirty(*table, stale_);
    dirty.insert(dirty.end(), stale_.rows.data(), stale_.rows.data() + count);
  }
  std::sort(dirty.begin(), dirty.end());
  dirty.erase(std::unique(dirty.begin(), dirty.end()), dirty.end());
  Need need{dirty.size(), 0};
  for (const RowId row : dirty) {
    if (!tiers_.residency.has_disk_slot(row)) continue;
    if (!tiers_.disk.slots().is_sealed(tiers_.residency.disk_slot(row))) ++need.given_up;
  }
  return need;
}

WriteBack::DirtyLists WriteBack::make_dirty_lists() const {
  const std::int64_t most = std::max(tiers_.device.slots(), tiers_.host.slots());
  return {kernels::pinned_array<SlotId>(tiers_.backend, most),
          kernels::pinned_array<RowId>(tiers_.backend, most)};
}

std::int64_t WriteBack::list_dirty(const kernels::SlotTable& table, const DirtyLists& lists) {
  tiers_.backend.list_dirty(tiers_.stream, table, lists.slots.data(), lists.rows.data(),
                            dirty_count_.data());
  tiers_.stream.synchronize();
  return static_cast<std::int64_t>(dirty_count_[0]);
}

void WriteBack::flush() {
  if (dirty_.slots.count() == 0) dirty_ = make_dirty_lists();
  tiers_.transfers.follow(tiers_.stream);
  flush_generation_ = tiers_.disk.next_generation();
  const std::int64_t batch = tiers_.disk.write_buffers();
  const std::int64_t on_device = list_dirty(tiers_.device.table(), dirty_);
  {
    io::Phase phase("rows of the device", static_cast<std::uint64_t>(on_device), "rows");
    for (std::int64_t first = 0; first < on_device; first += batch) {
      const std::int64_t count = std::min(batch, on_device - first);
      write_device_records(dirty_.slots.data() + first, dirty_.rows.data() + first, count);
      phase.add(static_cast<std::uint64_t>(count));
    }
  }
  // Marked before the copies on disk are certain: when the sync fails, the store stops for good.
  tiers_.backend.mark_saved(tiers_.stream, tiers_.device.table(), dirty_.slots.data(), on_device);
  tiers_.transfers.synchronize();
  flush_host();
  tiers_.disk.sync(tiers_.counters);
  tiers_.stream.synchronize();
  flush_generation_ = std::numeric_limits<std::uint64_t>::max();
}

void WriteBack::flush_host() {
  if (tiers_.host.slots() == 0) return;
  const std::int64_t count = list_dirty(tiers_.host.table(), dirty_);
  io::Phase phase("rows of the host", static_cast<std::uint64_t>(count), "rows");
  for (std::int64_t i = 0; i < count; ++i) {
    write_host_record(dirty_.slots[i], dirty_.rows[i]);
    phase.add(1);
  }
  tiers_.backend.mark_saved(tiers_.stream, tiers_.host.table(), dirty_.slots.data(), count);
}

}  // namespace mneme::offload
