#include "offload/disk_prefetch.h"

#include <algorithm>
#include <cstring>

#include "io/check.h"

namespace mneme::offload {

using kernels::RowId;
using kernels::SlotId;

namespace {

constexpr std::size_t kMostRows = std::size_t{1} << 16;

}  // namespace

// At most half of the host tier, so that prefetched rows do not displace each other before use.
DiskPrefetch::DiskPrefetch(Tiers& tiers, WriteBack& write_back)
    : tiers_(tiers),
      write_back_(write_back),
      most_(std::min<std::size_t>(kMostRows, tiers.host.slots() / 2)),
      at_hand_(std::min<std::size_t>(most_, tiers.disk.read_buffers() * 4)) {
  if (most_ == 0) return;
  const auto most = static_cast<std::int64_t>(most_);
  list_rows_ = kernels::pinned_array<RowId>(tiers.backend, most);
  list_slots_ = kernels::pinned_array<SlotId>(tiers.backend, most);
  report_ = kernels::pinned_array<kernels::LookupReport>(tiers.backend, 1);
  count_ = kernels::pinned_array<std::uint64_t>(tiers.backend, 1);
}

void DiskPrefetch::request(std::span<const RowId> rows, std::uint64_t byte_budget) {
  if (most_ == 0) return;  // nowhere to put them
  publish();
  tiers_.stream.synchronize();
  queue_.clear();
  queued_.clear();
  queue(rows, byte_budget);
  advance();
}

// Where the rows are is asked in stretches of the lists' length. REQUIRES the lists are free.
void DiskPrefetch::queue(std::span<const RowId> rows, std::uint64_t byte_budget) {
  const std::size_t affordable = byte_budget / tiers_.record_bytes;
  const std::size_t room = most_ - std::min(most_, reading_.size() + stored_.size());
  const std::size_t limit = std::min(affordable, room);
  for (std::size_t first = 0; first < rows.size() && queue_.size() < limit; first += most_) {
    const std::size_t count = std::min(most_, rows.size() - first);
    std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(first), count, list_rows_.data());
    tiers_.backend.locate_rows(tiers_.stream, tiers_.residency.locations(), list_rows_.data(),
                               static_cast<std::int64_t>(count), list_slots_.data());
    tiers_.stream.synchronize();
    for (std::size_t i = 0; i < count && queue_.size() < limit; ++i) {
      if (kernels::place_of(list_slots_[i]) != kernels::Place::kDisk) continue;
      if (reading_.contains(list_rows_[i])) continue;
      if (queued_.insert(list_rows_[i]).second) queue_.push_back(list_rows_[i]);
    }
  }
}

std::int64_t DiskPrefetch::free_host_slots() {
  tiers_.backend.lookup_slots(tiers_.stream, tiers_.device.table(), tiers_.host.table(),
                              {.report = report_.data()});
  tiers_.stream.synchronize();
  return report_[0].host.free;
}

// Gets host slots for reads that are queued or on their way, if need be from other rows.
void DiskPrefetch::take_slots() {
  const std::size_t useful =
      std::min({at_hand_, queue_.size() + reading_.size(), most_ - stored_.size()});
  if (useful <= slots_.size()) return;
  const auto wanted = static_cast<std::int64_t>(useful - slots_.size());
  // Leases need one free slot at the least.
  std::int64_t free = free_host_slots() - 1;
  if (free < wanted) free += write_back_.make_host_room(wanted - free, tiers_.use_counter + 1);
  if (free <= 0) return;
  tiers_.backend.take_slots(tiers_.stream, tiers_.host.table(), std::min(wanted, free),
                            list_slots_.data(), count_.data());
  tiers_.stream.synchronize();
  // The slots' last records may still be on their way to the device.
  tiers_.transfers.synchronize();
  slots_.insert(slots_.end(), list_slots_.data(), list_slots_.data() + count_[0]);
}

void DiskPrefetch::give_back_slots() {
  if (slots_.empty()) return;
  tiers_.stream.synchronize();  // the lists are free
  std::copy(slots_.begin(), slots_.end(), list_slots_.data());
  count_[0] = slots_.size();
  tiers_.backend.release_slots(tiers_.stream, tiers_.host.table(), list_slots_.data(),
                               count_.data(), static_cast<std::int64_t>(slots_.size()));
  tiers_.stream.synchronize();
  slots_.clear();
}

void DiskPrefetch::advance() {
  while (!reading_.empty()) {
    const auto read = tiers_.disk.finished_read(false, tiers_.counters);
    if (!read) break;
    store(*read);
  }
  if (!queue_.empty() && slots_.size() <= reading_.size()) take_slots();
  // Half of the read buffers stay free for demand reads.
  const std::size_t limit = std::min<std::size_t>(tiers_.disk.read_buffers() / 2, slots_.size());
  while (!queue_.empty() && reading_.size() < limit) {
    const RowId row = queue_.front();
    if (!queued_.contains(row)) {
      queue_.pop_front();
      continue;
    }
    if (!tiers_.disk.start_read(row, tiers_.residency.disk_slot(row), tiers_.counters)) return;
    reading_.insert(row);
    queued_.erase(row);
    queue_.pop_front();
  }
}

void DiskPrefetch::finish() {
  queue_.clear();
  queued_.clear();
  while (!reading_.empty()) {
    const auto read = tiers_.disk.finished_read(true, tiers_.counters);
    CHECK(read.has_value());
    store(*read);
  }
  give_back_slots();
}

void DiskPrefetch::store(const FinishedRead& read) {
  CHECK(reading_.erase(read.row) == 1, "row {} was not to be prefetched", read.row);
  CHECK(!slots_.empty());
  const SlotId slot = slots_.back();
  slots_.pop_back();
  std::memcpy(tiers_.host.record(slot), tiers_.disk.read_payload(read.buffer), tiers_.record_bytes);
  tiers_.disk.release_read(read.buffer);
  stored_.push_back({read.row, slot});
  ++tiers_.counters.prefetched;
  tiers_.counters.prefetched_bytes += tiers_.record_bytes;
  tiers_.counters.host.rows_written += 1;
  tiers_.counters.host.bytes_written += tiers_.record_bytes;
}

void DiskPrefetch::drop(const FinishedRead& read) {
  CHECK(reading_.erase(read.row) == 1, "row {} was not to be prefetched", read.row);
  tiers_.disk.release_read(read.buffer);
  ++tiers_.counters.prefetched;
  ++tiers_.counters.prefetch_wasted;
  tiers_.counters.prefetched_bytes += tiers_.record_bytes;
  tiers_.counters.prefetch_wasted_bytes += tiers_.record_bytes;
}

void DiskPrefetch::publish() {
  if (stored_.empty()) return;
  for (std::size_t i = 0; i < stored_.size(); ++i) {
    list_rows_[i] = stored_[i].row;
    list_slots_[i] = stored_[i].slot;
  }
  tiers_.backend.publish_rows(tiers_.stream, tiers_.host.table(),
                              {.rows = list_rows_.data(),
                               .slots = list_slots_.data(),
                               .count = static_cast<std::int64_t>(stored_.size()),
                               .use_counter = tiers_.use_counter,
                               .step_used = static_cast<std::uint32_t>(tiers_.step) + 1});
  stored_.clear();
}

}  // namespace mneme::offload
