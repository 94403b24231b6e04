#include "offload/write_back.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "io/check.h"

namespace mneme::offload {

void WriteBack::submit(std::uint32_t buffer, kernels::RowId row) {
  Residency& residency = tiers_.residency;
  const auto previous = residency.has_disk_slot(row)
                            ? std::optional<std::uint32_t>(residency.disk_slot(row))
                            : std::nullopt;
  const std::uint32_t slot = tiers_.disk.submit_write(buffer, row, previous, tiers_.counters);
  residency.set_disk_slot(row, slot);
  tiers_.changed_rows.push_back(row);
}

void WriteBack::demote(const DeviceVictims& victims) {
  Residency& residency = tiers_.residency;
  tiers_.counters.evicted_from_device += victims.slots.size();
  if (tiers_.host.slots() > 0) {
    const std::size_t batch = std::min<std::size_t>(TransferLists::kLength, tiers_.host.slots());
    for (std::size_t first = 0; first < victims.slots.size(); first += batch) {
      demote_to_host(victims, first, std::min(batch, victims.slots.size() - first));
    }
    return;
  }
  std::int64_t listed = 0;
  const std::int64_t batch =
      std::min<std::int64_t>(TransferLists::kLength, tiers_.disk.write_buffers());
  for (std::size_t i = 0; i < victims.slots.size(); ++i) {
    if (victims.dirty[i] == 0) {
      residency.drop(victims.rows[i]);
      ++tiers_.counters.clean_dropped;
      continue;
    }
    lists_.slots[listed] = victims.slots[i];
    lists_.rows[listed] = victims.rows[i];
    if (++listed == batch) {
      write_device_records(listed, true);
      listed = 0;
    }
  }
  write_device_records(listed, true);
}

void WriteBack::demote_to_host(const DeviceVictims& victims, std::size_t first, std::size_t count) {
  Residency& residency = tiers_.residency;
  make_host_room(static_cast<std::uint32_t>(count));
  std::int64_t listed = 0;
  for (std::size_t i = first; i < first + count; ++i) {
    const kernels::RowId row = victims.rows[i];
    const bool dirty = victims.dirty[i] != 0;
    if (!dirty && !residency.has_disk_slot(row)) {
      residency.drop(row);  // still equal to its initial value
      ++tiers_.counters.clean_dropped;
      continue;
    }
    const std::uint32_t slot =
        tiers_.host.take(row, dirty, residency.count_demotion(row), false, 0);
    residency.set_host(row, slot);
    lists_.slots[listed] = victims.slots[i];
    lists_.records[listed] = tiers_.host.record(slot);
    ++listed;
  }
  tiers_.backend.pack_records(tiers_.stream, tiers_.device.arena(), lists_.records, lists_.slots,
                              listed);
  tiers_.host_writes_pending = true;
  tiers_.settle_host();
  tiers_.counters.host.rows_written += static_cast<std::uint64_t>(listed);
  tiers_.counters.host.bytes_written += static_cast<std::uint64_t>(listed) * tiers_.record_bytes;
}

void WriteBack::make_host_room(std::uint32_t wanted) {
  CHECK(wanted <= tiers_.host.slots());
  if (tiers_.host.free_slots() >= wanted) return;
  tiers_.settle_host();
  const std::uint32_t missing = wanted - tiers_.host.free_slots();
  // A few more than asked, so that the scan over the slots is paid rarely.
  const std::uint32_t extra = std::min(tiers_.host.slots() / 64, tiers_.host.used() - missing);
  for (const HostVictim& victim : tiers_.host.victims(missing + extra)) {
    if (victim.dirty) {
      write_host_record(victim.slot, victim.row);
    } else {
      ++tiers_.counters.clean_dropped;
    }
    if (tiers_.host.prefetched(victim.slot)) {
      ++tiers_.counters.prefetch_wasted;
      tiers_.counters.prefetch_wasted_bytes += tiers_.record_bytes;
    }
    tiers_.residency.drop(victim.row);
    tiers_.host.release(victim.slot);
    ++tiers_.counters.evicted_from_host;
  }
}

void WriteBack::write_host_record(std::uint32_t slot, kernels::RowId row) {
  const std::uint32_t buffer = tiers_.disk.stage_write(tiers_.counters);
  std::memcpy(tiers_.disk.write_payload(buffer), tiers_.host.record(slot), tiers_.record_bytes);
  submit(buffer, row);
}

// Writes the device records listed in lists_.slots and lists_.rows.
void WriteBack::write_device_records(std::int64_t count, bool leave_device) {
  if (count == 0) return;
  staged_.clear();
  for (std::int64_t i = 0; i < count; ++i) {
    staged_.push_back(tiers_.disk.stage_write(tiers_.counters));
    lists_.records[i] = tiers_.disk.write_payload(staged_.back());
  }
  tiers_.backend.pack_records(tiers_.stream, tiers_.device.arena(), lists_.records, lists_.slots,
                              count);
  tiers_.stream.synchronize();
  for (std::int64_t i = 0; i < count; ++i) {
    submit(staged_[static_cast<std::size_t>(i)], lists_.rows[i]);
    if (leave_device) tiers_.residency.drop(lists_.rows[i]);
  }
}

void WriteBack::flush() {
  const DeviceVictims dirty = tiers_.device.list_dirty();
  const std::size_t batch =
      std::min<std::size_t>(TransferLists::kLength, tiers_.disk.write_buffers());
  for (std::size_t first = 0; first < dirty.slots.size(); first += batch) {
    const std::size_t count = std::min(batch, dirty.slots.size() - first);
    std::copy_n(dirty.slots.begin() + static_cast<std::ptrdiff_t>(first), count, lists_.slots);
    std::copy_n(dirty.rows.begin() + static_cast<std::ptrdiff_t>(first), count, lists_.rows);
    write_device_records(static_cast<std::int64_t>(count), false);
  }
  tiers_.settle_host();
  const std::vector<std::uint32_t> dirty_host = tiers_.host.dirty_slots();
  for (const std::uint32_t slot : dirty_host) write_host_record(slot, tiers_.host.row(slot));
  tiers_.disk.sync(tiers_.counters);
  // Only now are the copies on disk certain.
  for (const std::uint32_t slot : dirty_host) tiers_.host.set_clean(slot);
  tiers_.device.clear_dirty(dirty.slots.data(), static_cast<std::int64_t>(dirty.slots.size()));
  tiers_.stream.synchronize();
}

}  // namespace mneme::offload
