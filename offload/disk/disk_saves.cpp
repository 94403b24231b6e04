// A checkpoint under way: what belongs to it, and what it makes durable.
#include <algorithm>

#include "io/check.h"
#include "io/error.h"
#include "offload/disk/disk_engine.h"

namespace mneme::offload {

using kernels::RowId;

void DiskEngine::prepare_saves() {
  if (!has_file()) return;
  Lock lock(signal_.mutex);
  require_running();
  ensure_open(lock);
  // Pages come from the system when they are first touched.
  constexpr std::size_t kPageBytes = 4096;
  for (std::size_t i = 0; i < stripes_.size(); ++i) {
    const auto end = static_cast<std::uint32_t>((i + 1) * counts_.all());
    std::byte* const begin = payload(end - counts_.saves);
    const std::size_t bytes = std::size_t{counts_.saves - 1} * slot_bytes_;
    for (std::size_t at = 0; at < bytes; at += kPageBytes) begin[at] = std::byte{0};
  }
}

void DiskEngine::begin_save(std::span<const RowId> rows) {
  const Lock lock(signal_.mutex);
  require_running();
  if (is_open()) collect_written();
  for (Stripe& stripe : stripes_) stripe.slots.seal();
  changed_.report();
  moved_.clear();
  unsaved_.clear();
  save_generation_ = next_generation_;
  saving_ = 0;
  for (const RowId row : rows) unsaved_.insert(row);
}

bool DiskEngine::is_saved() {
  const Lock lock(signal_.mutex);
  require_running();
  if (is_open()) collect_written();
  return unsaved_.count() == 0 && saving_ == 0;
}

void DiskEngine::sync() {
  {
    const Lock lock(signal_.mutex);
    require_running();
    if (!is_open()) return;
  }
  try {
    for (Stripe& stripe : stripes_) stripe.lane->file().sync();
  } catch (const io::Error& error) {
    const Lock lock(signal_.mutex);
    failure_ = fmt::format("{}; {}", error.what(), kStopped);
    throw;
  }
}

TableChanges DiskEngine::changes() {
  const Lock lock(signal_.mutex);
  CHECK(unsaved_.count() == 0, "{} rows are not saved yet", unsaved_.count());
  return {changed_.reported().count(), next_generation_,
          [this](std::uint64_t first, std::span<TableEntry> entries) {
            return list_changes(first, entries);
          }};
}

std::size_t DiskEngine::list_changes(std::uint64_t first, std::span<TableEntry> entries) {
  std::vector<RowId> rows(entries.size());
  rows.resize(changed_.reported().list(first, rows));
  const Lock lock(signal_.mutex);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto moved = moved_.find(rows[i]);
    const std::uint32_t slot = moved != moved_.end() ? moved->second : slot_of(rows[i]);
    entries[i] = {rows[i], slot, generation(slot)};
  }
  return rows.size();
}

void DiskEngine::commit(std::uint64_t epoch) {
  const Lock lock(signal_.mutex);
  changed_.commit();
  moved_.clear();
  for (Stripe& stripe : stripes_) stripe.slots.commit(epoch);
}

}  // namespace mneme::offload
