// Records on their way into the files, and the room that they need there.
#include <algorithm>
#include <utility>

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
template <typename HasBuffer>
DiskEngine::Stripe* DiskEngine::writable(WriteQueue queue, const HasBuffer& has_buffer) {
  const auto worth = [queue](const Stripe& stripe) {
    const bool has_room = !stripe.cannot_grow || stripe.slots.free_slots() > 0;
    return std::pair(has_room, stripe.lane->free_write_buffers(queue));
  };
  Stripe* best = nullptr;
  for (Stripe& stripe : stripes_) {
    if (!has_buffer(*stripe.lane)) continue;
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
    const auto has_buffer = [](const DiskLane& lane) {
      return lane.has_write_buffers(WriteQueue::kWriteBack);
    };
    signal_.wait(lock, [&] {
      return has_failed() || (stripe = writable(WriteQueue::kWriteBack, has_buffer)) != nullptr;
    });
    require_running();
    buffer = stripe->lane->take_write_buffer(WriteQueue::kWriteBack);
  }
}

std::size_t DiskEngine::stage_saves(std::span<SlotId> buffers) {
  if (buffers.empty()) return 0;
  Lock lock(signal_.mutex);
  require_running();
  ensure_open(lock);
  std::size_t count = 0;
  for (; count < buffers.size(); ++count) {
    Stripe* const stripe = writable(WriteQueue::kSave, [](const DiskLane& lane) {
      return lane.free_write_buffers(WriteQueue::kSave) > 0;
    });
    if (stripe == nullptr) break;
    buffers[count] = stripe->lane->take_write_buffer(WriteQueue::kSave);
  }
  return count;
}

std::int64_t DiskEngine::free_save_buffers() const {
  const Lock lock(signal_.mutex);
  if (!is_open()) return save_buffers();
  std::int64_t free = 0;
  for (const Stripe& stripe : stripes_) free += stripe.lane->free_write_buffers(WriteQueue::kSave);
  return free;
}

void DiskEngine::await_save_buffers() {
  Lock lock(signal_.mutex);
  if (!is_open()) return;
  signal_.wait(lock, [this] {
    return has_failed() || std::any_of(stripes_.begin(), stripes_.end(), [](const Stripe& stripe) {
             return stripe.lane->has_write_buffers(WriteQueue::kSave);
           });
  });
  require_running();
}

std::optional<std::uint32_t> DiskEngine::with_room(std::uint32_t buffer, Lock& lock) {
  Stripe& own = stripe_of_buffer(buffer);
  if (find_slot(own, lock)) return buffer;
  const WriteQueue queue = own.lane->queue_of(buffer);
  for (Stripe& other : stripes_) {
    if (&other == &own || !find_slot(other, lock)) continue;
    signal_.wait(lock, [&] { return has_failed() || other.lane->free_write_buffers(queue) > 0; });
    require_running();
    const std::uint32_t moved = other.lane->take_write_buffer(queue);
    std::copy_n(payload(buffer), options_.record_bytes, payload(moved));
    own.lane->return_write_buffer(buffer);
    return moved;
  }
  return std::nullopt;
}

std::size_t DiskEngine::submit_writes(std::span<const SlotId> buffers,
                                      std::span<const RowId> rows) {
  std::vector<SlotId> assigned(buffers.begin(), buffers.end());
  assigned.resize(assign_writes(assigned, rows));
  queue_writes(assigned);
  return assigned.size();
}

std::size_t DiskEngine::assign_writes(std::span<SlotId> buffers, std::span<const RowId> rows) {
  if (rows.empty()) return 0;
  Lock lock(signal_.mutex);
  require_running();
  collect_written();
  std::size_t done = 0;
  for (; done < rows.size(); ++done) {
    const auto buffer = with_room(buffers[done], lock);
    if (!buffer) break;
    buffers[done] = *buffer;
    assign(*buffer, rows[done]);
  }
  for (Stripe& stripe : stripes_) grow_ahead(stripe);
  return done;
}

void DiskEngine::queue_writes(std::span<const SlotId> buffers) {
  if (buffers.empty()) return;
  const Lock lock(signal_.mutex);
  require_running();
  for (const SlotId buffer : buffers) {
    Stripe& stripe = stripe_of_buffer(buffer);
    stripe.lane->write(buffer);
    stripe.flags[stripe.lane->place_of(buffer).slot] &= static_cast<std::uint8_t>(~kUnready);
    --unready_;
  }
  for (const Stripe& stripe : stripes_) stripe.lane->wake();
}

void DiskEngine::assign(std::uint32_t buffer, RowId row) {
  Stripe& stripe = stripe_of_buffer(buffer);
  const SealSide side = side_of(row);
  const std::uint32_t slot = stripe.slots.allocate(side);
  if (slot >= stripe.generations.size()) {
    stripe.generations.resize(slot + std::size_t{1}, 0);
    stripe.flags.resize(slot + std::size_t{1}, 0);
  }
  stripe.generations[slot] = next_generation_++;
  const auto number = static_cast<std::size_t>(&stripe - stripes_.data());
  const std::uint32_t numbered = global(number, slot);
  stripe.flags[slot] = kWriting | kUnready;
  ++unready_;
  stripe.lane->assign(buffer, {.row = row, .slot = slot, .generation = stripe.generations[slot]});
  if (has_slot(row)) discard(row, side);
  slot_of_row_[row] = numbered + 1;
  if (unsaved_.erase(row)) {
    stripe.flags[slot] |= kOfCheckpoint;
    ++saving_;
    changed_.note_reported(row);
  } else {
    changed_.note(row);
  }
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
  for (Stripe& stripe : stripes_) {
    for (const std::uint32_t slot : stripe.lane->written()) {
      const std::uint8_t flags = std::exchange(stripe.flags[slot], std::uint8_t{0});
      const bool is_of_checkpoint =
          (flags & kOfCheckpoint) != 0 && stripe.generations[slot] >= save_generation_;
      saving_ -= is_of_checkpoint ? 1 : 0;
      if ((flags & kSuperseded) != 0) stripe.slots.supersede(slot);
      if ((flags & kSupersededBefore) != 0) stripe.slots.supersede(slot, SealSide::kBefore);
    }
    stripe.lane->written().clear();
  }
}

void DiskEngine::discard(RowId row, SealSide side) {
  const std::uint32_t slot = slot_of(row);
  SlotAllocator& slots = stripes_[stripe_of(slot)].slots;
  const bool is_of_checkpoint =
      side == SealSide::kAfter && slots.is_sealed(local(slot)) && changed_.reported().contains(row);
  if (is_of_checkpoint) moved_.emplace(row, slot);
  // A slot whose own write is still on its way must not be reused before that write is over.
  if ((flags(slot) & kWriting) != 0) {
    flags(slot) |= side == SealSide::kAfter ? kSuperseded : kSupersededBefore;
  } else {
    slots.supersede(local(slot), side);
  }
}

}  // namespace mneme::offload
