// Records on their way into the files, and the room that they need there.
#include <algorithm>

#include "io/error.h"
#include "offload/disk/disk_engine.h"

namespace mneme::offload {

using kernels::RowId;
using kernels::SlotId;

namespace {

constexpr std::uint64_t kGrowthBytes = std::uint64_t{64} << 20;

}  // namespace

// ---- Room.

std::uint64_t DiskEngine::bytes_of_others(const Stripe& stripe) const {
  std::uint64_t bytes = 0;
  for (const Stripe& other : stripes_) {
    if (&other != &stripe) bytes += other.lane->capacity_slots() * other.lane->slot_bytes();
  }
  return bytes;
}

std::uint64_t DiskEngine::with_growth(const Stripe& stripe, std::uint64_t slots) const {
  const std::uint64_t bytes = slots * stripe.lane->slot_bytes();
  // The file system is asked rarely.
  std::uint64_t ahead = std::max<std::uint64_t>(kGrowthBytes, bytes / 16);
  if (options_.limit_bytes != 0) {
    const std::uint64_t all = bytes + bytes_of_others(stripe);
    ahead = std::min(ahead, options_.limit_bytes - std::min(all, options_.limit_bytes));
  }
  return slots + ahead / stripe.lane->slot_bytes();
}

void DiskEngine::reserve_for(Stripe& stripe, std::uint64_t slots, Lock& lock) {
  if (slots <= stripe.lane->capacity_slots()) return;
  const std::uint64_t bytes = slots * stripe.lane->slot_bytes() + bytes_of_others(stripe);
  if (options_.limit_bytes != 0 && bytes > options_.limit_bytes) {
    io::fail(
        "{} would need {} bytes for {} records, tiers.disk_bytes allows {}; raise it or keep "
        "fewer checkpoints",
        stripe.path, bytes, slots, options_.limit_bytes);
  }
  const std::uint64_t wanted = with_growth(stripe, slots);
  DiskLane::JobResult result;
  stripe.lane->queue(
      [=](DiskLane::File& file) {
        try {
          file->reserve(wanted);
        } catch (const io::Error&) {
          // Near the end of the disk, what is left of it.
          if (wanted == slots) throw;
          file->reserve(slots);
        }
      },
      /*idle=*/false, &result);
  signal_.wait(lock, [&] { return result.is_done; });
  if (result.failure) std::rethrow_exception(result.failure);
}

// So that no write waits for the file to grow.
void DiskEngine::grow_ahead(Stripe& stripe) {
  const std::uint64_t capacity = stripe.lane->capacity_slots();
  const std::uint64_t margin = kGrowthBytes / 2 / stripe.lane->slot_bytes();
  if (capacity >= stripe.slots.slots() + margin || stripe.growing_to > capacity) return;
  stripe.growing_to = with_growth(stripe, capacity);
  if (stripe.growing_to == capacity) return;
  stripe.lane->queue([wanted = stripe.growing_to](DiskLane::File& file) { file->reserve(wanted); },
                     /*idle=*/false, nullptr);
}

bool DiskEngine::find_slot(Stripe& stripe, Lock& lock) {
  if (stripe.slots.free_slots() > 0) return true;
  try {
    reserve_for(stripe, stripe.slots.slots() + 1, lock);
    return true;
  } catch (const io::Error&) {
    stripe.cannot_grow = true;
    return false;
  }
}

void DiskEngine::require_slot() {
  Lock lock(signal_.mutex);
  require_running();
  collect_written();
  for (Stripe& stripe : stripes_) {
    if (find_slot(stripe, lock)) return;
  }
  reserve_for(stripes_[0], stripes_[0].slots.slots() + 1, lock);  // says why not
}

std::uint64_t DiskEngine::slot_limit() {
  if (options_.limit_bytes == 0 || !has_file()) return 0;
  Lock lock(signal_.mutex);
  require_running();
  ensure_open(lock);
  return std::max<std::uint64_t>(1, options_.limit_bytes / slot_bytes_);
}

// ---- Writing.

// Of those with a buffer the one with the most: a disk that is faster has more of them. A full one
// only where all are.
DiskEngine::Stripe* DiskEngine::writable() {
  const auto worth = [](const Stripe& stripe) {
    const bool has_room = !stripe.cannot_grow || stripe.slots.free_slots() > 0;
    return std::pair(has_room, stripe.lane->free_write_buffers());
  };
  Stripe* best = nullptr;
  for (Stripe& stripe : stripes_) {
    if (!stripe.lane->has_write_buffer()) continue;
    if (best == nullptr || worth(stripe) > worth(*best)) best = &stripe;
  }
  return best;
}

void DiskEngine::stage_writes(std::span<SlotId> buffers) {
  if (buffers.empty()) return;
  Lock lock(signal_.mutex);
  require_running();
  ensure_open(lock);
  for (SlotId& buffer : buffers) {
    Stripe* stripe = nullptr;
    signal_.wait(lock, [&] { return has_failed() || (stripe = writable()) != nullptr; });
    require_running();
    buffer = stripe->lane->take_write_buffer();
  }
}

std::optional<std::uint32_t> DiskEngine::with_room(std::uint32_t buffer, Lock& lock) {
  Stripe& own = stripe_of_buffer(buffer);
  if (find_slot(own, lock)) return buffer;
  for (Stripe& other : stripes_) {
    if (&other == &own || !find_slot(other, lock)) continue;
    signal_.wait(lock, [&] { return has_failed() || other.lane->has_write_buffer(); });
    require_running();
    const std::uint32_t moved = other.lane->take_write_buffer();
    std::copy_n(payload(buffer), options_.record_bytes, payload(moved));
    own.lane->return_write_buffer(buffer);
    return moved;
  }
  return std::nullopt;
}

std::size_t DiskEngine::submit_writes(std::span<const SlotId> buffers,
                                      std::span<const RowId> rows) {
  if (rows.empty()) return 0;
  Lock lock(signal_.mutex);
  require_running();
  collect_written();
  std::size_t done = 0;
  for (; done < rows.size(); ++done) {
    const auto buffer = with_room(buffers[done], lock);
    if (!buffer) break;
    write(*buffer, rows[done]);
  }
  for (Stripe& stripe : stripes_) {
    grow_ahead(stripe);
    stripe.lane->wake();
  }
  return done;
}

void DiskEngine::write(std::uint32_t buffer, RowId row) {
  Stripe& stripe = stripe_of_buffer(buffer);
  const std::uint32_t slot = stripe.slots.allocate();
  if (slot >= stripe.generations.size()) stripe.generations.resize(slot + std::size_t{1}, 0);
  stripe.generations[slot] = next_generation_++;
  const auto number = static_cast<std::size_t>(&stripe - stripes_.data());
  writing_.insert(global(number, slot));
  stripe.lane->write(buffer, {.row = row, .slot = slot, .generation = stripe.generations[slot]});
  if (has_slot(row)) discard(slot_of(row));
  slot_of_row_[row] = global(number, slot) + 1;
  changed_.note(row);
}

bool DiskEngine::any_writes_are_due() const {
  return std::any_of(stripes_.begin(), stripes_.end(),
                     [](const Stripe& stripe) { return stripe.lane->writes_are_due(); });
}

void DiskEngine::wait_for_writes(Lock& lock) {
  signal_.wait(lock, [this] { return has_failed() || !any_writes_are_due(); });
  require_running();
  collect_written();
}

void DiskEngine::finish_writes() {
  Lock lock(signal_.mutex);
  require_running();
  if (is_open()) wait_for_writes(lock);
}

void DiskEngine::collect_written() {
  for (std::size_t i = 0; i < stripes_.size(); ++i) {
    for (const std::uint32_t slot : stripes_[i].lane->written()) {
      writing_.erase(global(i, slot));
      if (superseded_.erase(global(i, slot)) > 0) stripes_[i].slots.supersede(slot);
    }
    stripes_[i].lane->written().clear();
  }
}

// The row has no use for its slot any more.
void DiskEngine::discard(std::uint32_t slot) {
  // A slot whose own write is still on its way must not be reused before that write is over.
  if (writing_.contains(slot)) {
    superseded_.insert(slot);
  } else {
    stripes_[stripe_of(slot)].slots.supersede(local(slot));
  }
}

}  // namespace mneme::offload
