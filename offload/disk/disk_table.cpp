// Which row has which slot, from checkpoint to checkpoint.
#include <algorithm>
#include <random>

#include "io/check.h"
#include "io/error.h"
#include "offload/disk/disk_tier.h"

namespace mneme::offload {
namespace {

// A reopened file continues above every generation that was written. Runs that ended without a
// commit left no word of how far they came, so each opening also takes a random stretch.
constexpr std::uint64_t kGenerationsPerOpening = std::uint64_t{1} << 32;

}  // namespace

void DiskTier::restore(const std::vector<const CheckpointTable*>& kept, std::size_t current) {
  CHECK(!file_);
  if (!disk_.exists(options_.path)) {
    io::fail("{}: is missing, and every checkpoint of the run needs it; restore it from a backup",
             options_.path);
  }
  file_ = io::RecordFile::open(disk_, options_.path, {options_.record_bytes, options_.table_id},
                               options_.open);
  allocate_staging();
  slots_.restore(kept, current);
  generations_.assign(slots_.slots(), 0);
  for (const CheckpointTable* table : kept) {
    next_generation_ = std::max(next_generation_, table->next_generation);
    for (const TableEntry& entry : table->entries) generations_[entry.slot] = entry.generation;
  }
  const std::uint64_t stretch = 1 + std::random_device{}() % 4096;
  next_generation_ = (next_generation_ / kGenerationsPerOpening + stretch) * kGenerationsPerOpening;
  if (file_->capacity_slots() < slots_.slots()) {
    io::fail(
        "{} is truncated: it holds {} slots, its checkpoint refers to {}; restore the file "
        "from a backup",
        options_.path, file_->capacity_slots(), slots_.slots());
  }
  for (const TableEntry& entry : kept[current]->entries) {
    if (entry.row >= options_.table_rows) {
      io::fail("the checkpoint of {} names row {}, the table has {} rows", options_.path, entry.row,
               options_.table_rows);
    }
    slot_of_row_[entry.row] = entry.slot + 1;
  }
}

TableDelta DiskTier::seal() {
  slots_.seal();
  const RowSet& changed = changed_.report();
  TableDelta delta;
  delta.entries.reserve(changed.count());
  changed.for_each([&](kernels::RowId row) {
    delta.entries.push_back({row, slot_of(row), generations_[slot_of(row)]});
  });
  delta.next_generation = next_generation_;
  delta.file_slots = slots_.slots();
  return delta;
}

void DiskTier::commit(std::uint64_t epoch) {
  changed_.commit();
  slots_.commit(epoch);
}

void DiskTier::give_up(kernels::RowId row, std::uint64_t before) {
  if (!has_slot(row) || generations_[slot_of(row)] >= before) return;
  discard(slot_of(row));
  slot_of_row_[row] = 0;
}

bool DiskTier::gives_up_slot(kernels::RowId row) const {
  return has_slot(row) && !slots_.is_sealed(slot_of(row));
}

}  // namespace mneme::offload
