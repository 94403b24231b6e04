#include "offload/disk/disk_engine.h"

#include <algorithm>
#include <utility>

#include "io/check.h"
#include "io/error.h"
#include "io/uring_file.h"
#include "offload/disk/rows_file.h"

namespace mneme::offload {

using kernels::RowId;
using kernels::SlotId;

namespace {

constexpr std::uint64_t kGrowthBytes = std::uint64_t{64} << 20;
// Of all write buffers of a file, where the records are small: enough for long runs of neighbours.
constexpr std::uint32_t kWriteBytes = std::uint32_t{4} << 20;
constexpr std::uint32_t kMostWriteBuffers = 1024;
constexpr std::uint32_t kQueues = 3;

// Reads wait in their buffers until their batch is on the device.
LaneBuffers buffers_of(const DiskEngineOptions& options) {
  const std::uint32_t depth = options.open.depth;
  const std::uint32_t long_runs =
      kWriteBytes / (options.record_bytes + io::RecordFile::kPayloadOffset);
  return {.reads = std::max(4 * depth, 8u),
          .hints = depth,
          .writes = std::max({2 * depth, std::min(long_runs, kMostWriteBuffers), 8u})};
}

DiskEngineOptions with_depth(DiskEngineOptions options) {
  options.open.depth = std::clamp(options.open.depth, 1u, io::kMaxUringDepth / kQueues);
  return options;
}

}  // namespace

DiskEngine::DiskEngine(kernels::Backend& backend, io::Disk& disk, DiskEngineOptions options)
    : backend_(backend),
      disk_(disk),
      options_(with_depth(std::move(options))),
      counts_(buffers_of(options_)),
      slot_of_row_(options_.table_rows),
      changed_(options_.table_rows),
      stripes_(options_.paths.size()) {
  for (std::size_t i = 0; i < stripes_.size(); ++i) stripes_[i].path = options_.paths[i];
}

DiskEngine::~DiskEngine() = default;

bool DiskEngine::has_failed() const {
  return !failure_.empty() ||
         (is_open() && std::any_of(stripes_.begin(), stripes_.end(), [](const Stripe& stripe) {
            return !stripe.lane->failure().empty();
          }));
}

void DiskEngine::require_running() const {
  if (!failure_.empty()) io::fail("{}", failure_);
  if (!is_open()) return;
  for (const Stripe& stripe : stripes_) {
    if (!stripe.lane->failure().empty()) io::fail("{}", stripe.lane->failure());
  }
}

// ---- The files.

void DiskEngine::run_all(Lock& lock, const MakeJob& make_job, bool idle) {
  std::vector<DiskLane::JobResult> results(stripes_.size());
  for (std::size_t i = 0; i < stripes_.size(); ++i) {
    stripes_[i].lane->queue(make_job(i), idle, &results[i]);
  }
  signal_.wait(lock, [&] {
    return std::all_of(results.begin(), results.end(), [](const auto& one) { return one.is_done; });
  });
  for (const DiskLane::JobResult& result : results) {
    if (result.failure) std::rethrow_exception(result.failure);
  }
}

// Files are opened in the lanes' threads, which their rings belong to.
void DiskEngine::open(Lock& lock, const MakeJob& make_job) {
  for (Stripe& stripe : stripes_) {
    stripe.lane = std::make_unique<DiskLane>(signal_, stripe.path, options_.open.depth);
  }
  try {
    run_all(lock, make_job, /*idle=*/true);
    std::uint32_t stride = 0;
    for (const Stripe& stripe : stripes_) stride = std::max(stride, stripe.lane->slot_bytes());
    const std::size_t bytes = std::size_t{counts_.all()} * stride;
    staging_ = backend_.allocate(bytes * stripes_.size(), kernels::MemoryKind::kPinnedHost);
    const auto memory = [&, this](std::size_t i) { return staging_.as<std::byte>() + i * bytes; };
    for (std::size_t i = 0; i < stripes_.size(); ++i) {
      const auto first = static_cast<std::uint32_t>(i) * counts_.all();
      stripes_[i].lane->set_buffers(memory(i), stride, first, counts_);
    }
    run_all(
        lock,
        [&](std::size_t i) {
          return [&memory, bytes, i](DiskLane::File& file) {
            file->file().register_buffer({memory(i), bytes});
          };
        },
        /*idle=*/true);
    slot_bytes_ = stride;
  } catch (...) {
    close(lock);
    throw;
  }
}

void DiskEngine::close(Lock& lock) {
  lock.unlock();
  for (Stripe& stripe : stripes_) stripe.lane.reset();
  lock.lock();
}

// Each queue has ring entries of its own.
io::OpenOptions DiskEngine::ring_options() const {
  io::OpenOptions options = options_.open;
  options.depth *= kQueues;
  return options;
}

void DiskEngine::ensure_open(Lock& lock) {
  if (is_open()) return;
  if (stripes_.empty()) {
    io::fail(
        "rows do not fit the device and host tiers and no rows file was given; raise "
        "tiers.device_bytes or tiers.host_bytes, or give the run a directory");
  }
  open(lock, [this](std::size_t i) {
    return [this, i](DiskLane::File& file) {
      const std::string& path = stripes_[i].path;
      const io::RecordFileShape shape =
          stripe_shape({options_.record_bytes, options_.table_id}, i, stripes_.size());
      disk_.make_directories(io::directory_of(path));
      // Without a checkpoint that refers to it this table's own file holds nothing of value.
      std::uint64_t there = 0;
      if (disk_.exists(path) && io::is_record_file(disk_, path, &there) &&
          there == shape.table_id) {
        disk_.remove(path);
      }
      file = io::RecordFile::create(disk_, path, shape, ring_options());
    };
  });
}

kernels::HostRecords DiskEngine::staging() const {
  if (!is_open()) return {};
  return kernels::HostRecords::in_one_piece(
      staging_.as<std::byte>() + io::RecordFile::kPayloadOffset, slot_bytes_);
}

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

// ---- Reading.

RecordPlace DiskEngine::place_of(RowId row) {
  CHECK(is_open() && has_slot(row), "row {} has no record on disk", row);
  const std::uint32_t slot = slot_of(row);
  return {.row = row, .slot = local(slot), .generation = generation(slot)};
}

std::size_t DiskEngine::start_reads(std::span<const RowId> rows, std::uint32_t index) {
  if (rows.empty()) return 0;
  const Lock lock(signal_.mutex);
  require_running();
  std::size_t started = 0;
  for (; started < rows.size(); ++started) {
    RecordPlace place = place_of(rows[started]);
    place.index = index + static_cast<std::uint32_t>(started);
    DiskLane& lane = lane_of(rows[started]);
    if (!lane.takes_read()) break;
    lane.read(place);
  }
  for (const Stripe& stripe : stripes_) stripe.lane->wake();
  return started;
}

std::size_t DiskEngine::finished_reads(std::span<FinishedRead> out, std::size_t at_least) {
  if (!is_open()) return 0;
  Lock lock(signal_.mutex);
  signal_.wait(lock, [&] {
    std::size_t arrived = 0;
    bool more = false;
    for (const Stripe& stripe : stripes_) {
      arrived += stripe.lane->arrived().size();
      more = more || stripe.lane->reads_are_due();
    }
    return has_failed() || arrived >= at_least || !more;
  });
  require_running();
  std::size_t count = 0;
  for (const Stripe& stripe : stripes_) {
    auto& arrived = stripe.lane->arrived();
    const std::size_t these = std::min(out.size() - count, arrived.size());
    std::copy_n(arrived.begin(), these, out.begin() + static_cast<std::ptrdiff_t>(count));
    arrived.erase(arrived.begin(), arrived.begin() + static_cast<std::ptrdiff_t>(these));
    count += these;
  }
  return count;
}

void DiskEngine::release_reads(std::span<const SlotId> buffers) {
  const Lock lock(signal_.mutex);
  for (const SlotId buffer : buffers) stripe_of_buffer(buffer).lane->release_read(buffer);
  for (const Stripe& stripe : stripes_) stripe.lane->wake();
}

DiskEngine::Asked DiskEngine::asked() const {
  const Lock lock(signal_.mutex);
  Asked asked;
  if (!is_open()) return asked;
  for (const Stripe& stripe : stripes_) {
    asked.rows += stripe.lane->demand_rows();
    asked.bytes += stripe.lane->demand_bytes();
  }
  return asked;
}

// ---- Hints.

void DiskEngine::hint(std::span<const RowId> rows, std::span<std::byte* const> targets) {
  if (rows.empty()) return;
  const Lock lock(signal_.mutex);
  require_running();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const RecordPlace place = place_of(rows[i]);
    lane_of(rows[i]).hint(place, targets[i]);
  }
  for (const Stripe& stripe : stripes_) stripe.lane->wake();
}

void DiskEngine::hurry(std::span<const RowId> rows) {
  const Lock lock(signal_.mutex);
  require_running();
  for (const RowId row : rows) lane_of(row).hurry(row);
  for (const Stripe& stripe : stripes_) stripe.lane->wake();
}

bool DiskEngine::cancel_hint(RowId row) {
  const Lock lock(signal_.mutex);
  return lane_of(row).cancel(row);
}

std::vector<HintEvent> DiskEngine::hint_events() {
  const Lock lock(signal_.mutex);
  std::vector<HintEvent> events;
  if (!is_open()) return events;
  for (const Stripe& stripe : stripes_) {
    auto& mine = stripe.lane->hint_events();
    events.insert(events.end(), mine.begin(), mine.end());
    mine.clear();
  }
  return events;
}

void DiskEngine::await_hint_event() {
  Lock lock(signal_.mutex);
  signal_.wait(lock, [this] {
    return has_failed() || std::any_of(stripes_.begin(), stripes_.end(), [](const Stripe& stripe) {
             return !stripe.lane->hint_events().empty();
           });
  });
  require_running();
}

// ---- Durability and counts.

void DiskEngine::sync() {
  Lock lock(signal_.mutex);
  require_running();
  if (!is_open()) return;
  wait_for_writes(lock);
  try {
    run_all(
        lock, [](std::size_t) { return [](DiskLane::File& file) { file->file().sync(); }; },
        /*idle=*/true);
  } catch (const io::Error& error) {
    failure_ = fmt::format("{}; {}", error.what(), kStopped);
    throw;
  }
}

void DiskEngine::stop(const std::string& failure) {
  Lock lock(signal_.mutex);
  if (!is_open()) return;
  for (const Stripe& stripe : stripes_) stripe.lane->fail(failure);
  signal_.wait(lock, [this] {
    return !any_writes_are_due() &&
           std::all_of(stripes_.begin(), stripes_.end(),
                       [](const Stripe& stripe) { return stripe.lane->is_quiet(); });
  });
}

std::uint64_t DiskEngine::slots() const {
  std::uint64_t slots = 0;
  for (const Stripe& stripe : stripes_) slots += stripe.slots.slots();
  return slots;
}

std::uint64_t DiskEngine::free_slots() const {
  std::uint64_t slots = 0;
  for (const Stripe& stripe : stripes_) slots += stripe.slots.free_slots();
  return slots;
}

std::uint64_t DiskEngine::file_bytes() const {
  const Lock lock(signal_.mutex);
  std::uint64_t bytes = 0;
  if (!is_open()) return bytes;
  for (const Stripe& stripe : stripes_) bytes += stripe.lane->file_bytes();
  return bytes;
}

DiskEngine::BusyTimes DiskEngine::busy_times() const {
  const Lock lock(signal_.mutex);
  BusyTimes times;
  if (!is_open()) return times;
  for (const Stripe& stripe : stripes_) {
    times.demand_us = std::max(times.demand_us, stripe.lane->demand_us());
    times.hint_us = std::max(times.hint_us, stripe.lane->hint_us());
    times.write_us = std::max(times.write_us, stripe.lane->write_us());
  }
  return times;
}

std::uint64_t DiskEngine::io_retries() const {
  const Lock lock(signal_.mutex);
  std::uint64_t retries = 0;
  if (!is_open()) return retries;
  for (const Stripe& stripe : stripes_) retries += stripe.lane->retries();
  return retries;
}

}  // namespace mneme::offload
