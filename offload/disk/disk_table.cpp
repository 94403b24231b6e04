// Which row has which slot when a run goes on from a checkpoint, and slots that are given back.
#include <algorithm>
#include <random>

#include "io/check.h"
#include "io/error.h"
#include "offload/disk/disk_engine.h"
#include "offload/disk/rows_file.h"

namespace mneme::offload {
namespace {

// A reopened file continues above every generation that was written. Runs that ended without a
// commit left no word of how far they came, so each opening also takes a random stretch.
constexpr std::uint64_t kGenerationsPerOpening = std::uint64_t{1} << 32;

}  // namespace

namespace {

// Of a table whose slots are numbered over `stripes` files, the part in one of them, with its
// slots.
CheckpointTable part_of(const CheckpointTable& table, std::size_t stripe, std::size_t stripes) {
  CheckpointTable part{table.epoch, {}, table.next_generation};
  const auto files = static_cast<std::uint32_t>(stripes);
  for (const TableEntry& entry : table.entries) {
    if (entry.slot % files != stripe) continue;
    part.entries.push_back({entry.row, entry.slot / files, entry.generation});
  }
  return part;
}

}  // namespace

void DiskEngine::restore(const std::vector<const CheckpointTable*>& kept, std::size_t current) {
  Lock lock(signal_.mutex);
  CHECK(!is_open() && !stripes_.empty());
  for (const Stripe& stripe : stripes_) {
    if (disk_.exists(stripe.path)) continue;
    const std::string folder = io::directory_of(stripe.path);
    if (!disk_.is_directory(folder)) {
      io::fail(
          "{}: there is no such folder, and every checkpoint of the run needs {}; mount its "
          "disk",
          folder, stripe.path);
    }
    io::fail("{}: is missing, and every checkpoint of the run needs it; restore it from a backup",
             stripe.path);
  }
  open(lock, [this](std::size_t i) {
    return [this, i](DiskLane::File& file) {
      file = io::RecordFile::open(
          disk_, stripes_[i].path,
          stripe_shape({options_.record_bytes, options_.table_id}, i, stripes_.size()),
          ring_options());
    };
  });
  for (std::size_t i = 0; i < stripes_.size(); ++i) restore_slots(i, kept, current);
  for (const CheckpointTable* table : kept) {
    next_generation_ = std::max(next_generation_, table->next_generation);
  }
  const std::uint64_t stretch = 1 + std::random_device{}() % 4096;
  next_generation_ = (next_generation_ / kGenerationsPerOpening + stretch) * kGenerationsPerOpening;
  for (const TableEntry& entry : kept[current]->entries) {
    if (entry.row >= options_.table_rows) {
      io::fail("the checkpoint of {} names row {}, the table has {} rows", options_.paths[0],
               entry.row, options_.table_rows);
    }
    slot_of_row_[entry.row] = entry.slot + 1;
  }
}

void DiskEngine::restore_slots(std::size_t number, const std::vector<const CheckpointTable*>& kept,
                               std::size_t current) {
  Stripe& stripe = stripes_[number];
  std::vector<CheckpointTable> parts;
  std::vector<const CheckpointTable*> tables = kept;
  if (stripes_.size() > 1) {
    for (const CheckpointTable* table : kept) {
      parts.push_back(part_of(*table, number, stripes_.size()));
    }
    for (std::size_t i = 0; i < parts.size(); ++i) tables[i] = &parts[i];
  }
  stripe.slots.restore(tables, current);
  stripe.generations.assign(stripe.slots.slots(), 0);
  stripe.flags.assign(stripe.slots.slots(), 0);
  for (const CheckpointTable* table : tables) {
    for (const TableEntry& entry : table->entries) {
      stripe.generations[entry.slot] = entry.generation;
    }
  }
  if (stripe.lane->capacity_slots() < stripe.slots.slots()) {
    io::fail(
        "{} is truncated: it holds {} slots, its checkpoint refers to {}; restore the file "
        "from a backup",
        stripe.path, stripe.lane->capacity_slots(), stripe.slots.slots());
  }
}

std::vector<TableEntry> DiskEngine::entries(std::span<const kernels::RowId> rows) {
  const Lock lock(signal_.mutex);
  std::vector<TableEntry> entries;
  entries.reserve(rows.size());
  for (const kernels::RowId row : rows) {
    if (has_slot(row)) entries.push_back({row, slot_of(row), generation(slot_of(row))});
  }
  return entries;
}

void DiskEngine::release(std::uint64_t epoch) {
  const Lock lock(signal_.mutex);
  for (Stripe& stripe : stripes_) {
    stripe.slots.release(epoch);
    stripe.cannot_grow = false;
  }
}

void DiskEngine::give_up(kernels::RowId row) {
  if (!has_slot(row)) return;
  const Lock lock(signal_.mutex);
  collect_written();
  discard(row, side_of(row));
  slot_of_row_[row] = 0;
}

bool DiskEngine::gives_up_slot(kernels::RowId row) const {
  if (!has_slot(row)) return false;
  const std::uint32_t slot = slot_of(row);
  return !stripes_[stripe_of(slot)].slots.is_sealed(local(slot), side_of(row));
}

}  // namespace mneme::offload
