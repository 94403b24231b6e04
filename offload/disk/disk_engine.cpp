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

constexpr std::uint32_t kQueues = 4;
// Of the buffers for records of checkpoints, of each file.
constexpr std::uint64_t kLeastSaves = 8, kMostSaves = std::uint64_t{1} << 20;

std::uint32_t save_buffers_of(const DiskEngineOptions& options, std::uint32_t slot_bytes) {
  const std::uint64_t files = std::max<std::uint64_t>(1, options.paths.size());
  const std::uint64_t fit = options.save_bytes / files / slot_bytes;
  return static_cast<std::uint32_t>(std::clamp(fit, kLeastSaves, kMostSaves));
}

// Reads wait in their buffers until their batch is on the device.
LaneBuffers buffers_of(const DiskEngineOptions& options) {
  const std::uint32_t depth = options.open.depth;
  const std::uint32_t record_bytes = options.record_bytes + io::RecordFile::kPayloadOffset;
  return {.reads = std::max(4 * depth, 8u),
          .hints = depth,
          .write_back =
              std::max({2 * depth, std::min(kWriteBytes / record_bytes, kMostWriteBuffers), 8u}),
          .saves = save_buffers_of(options, record_bytes)};
}

// Once it is known how large their slots are.
LaneBuffers buffers_of(const DiskEngineOptions& options, std::uint32_t slot_bytes) {
  LaneBuffers counts = buffers_of(options);
  counts.saves = save_buffers_of(options, slot_bytes);
  return counts;
}

DiskEngineOptions with_depth(DiskEngineOptions options) {
  options.open.depth = DiskEngine::ring_depth(options.open.depth) / kQueues;
  return options;
}

}  // namespace

std::uint64_t DiskEngine::staging_bytes(const DiskEngineOptions& options,
                                        std::uint32_t slot_bytes) {
  const std::uint64_t count = buffers_of(with_depth(options), slot_bytes).all();
  return count * slot_bytes * options.paths.size();
}

DiskEngine::DiskEngine(kernels::Backend& backend, io::Disk& disk, DiskEngineOptions options)
    : backend_(backend),
      disk_(disk),
      options_(with_depth(std::move(options))),
      counts_(buffers_of(options_)),
      slot_of_row_(options_.table_rows),
      changed_(options_.table_rows),
      unsaved_(options_.table_rows),
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
  try {
    for (Stripe& stripe : stripes_) {
      stripe.lane = std::make_unique<DiskLane>(signal_, stripe.path, options_.open.depth);
    }
    run_all(lock, make_job, /*idle=*/true);
    std::uint32_t stride = 0;
    for (const Stripe& stripe : stripes_) stride = std::max(stride, stripe.lane->slot_bytes());
    counts_ = buffers_of(options_, stride);
    const std::size_t bytes = std::size_t{counts_.all()} * stride;
    staging_ = backend_.allocate(bytes * stripes_.size(), kernels::MemoryKind::kPinnedHost);
    const auto memory = [&, this](std::size_t i) { return staging_.as<std::byte>() + i * bytes; };
    for (std::size_t i = 0; i < stripes_.size(); ++i) {
      const auto first = static_cast<std::uint32_t>(i) * counts_.all();
      stripes_[i].lane->set_buffers(memory(i), stride, first, counts_);
    }
    // Not those for checkpoints: they are many, their transfers long, and registering touches all
    // of the memory at once.
    const std::size_t registered = std::size_t{counts_.all() - counts_.saves} * stride;
    run_all(
        lock,
        [&](std::size_t i) {
          return [&memory, registered, i](DiskLane::File& file) {
            file->file().register_buffer({memory(i), registered});
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

std::uint32_t DiskEngine::ring_depth(std::uint32_t depth) {
  return std::clamp(depth, 1u, io::kMaxUringDepth / kQueues) * kQueues;
}

io::OpenOptions DiskEngine::ring_options() const {
  io::OpenOptions options = options_.open;
  options.depth = ring_depth(options.depth);
  return options;
}

void DiskEngine::make_files() {
  if (!has_file()) return;
  Lock lock(signal_.mutex);
  require_running();
  ensure_open(lock);
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

// ---- The end, and counts.

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

std::uint64_t DiskEngine::sum(std::uint64_t (DiskLane::*count)() const) const {
  const Lock lock(signal_.mutex);
  std::uint64_t all = 0;
  if (!is_open()) return all;
  for (const Stripe& stripe : stripes_) all += (*stripe.lane.*count)();
  return all;
}

DiskLatencies DiskEngine::take_latencies() {
  const Lock lock(signal_.mutex);
  DiskLatencies sum;
  if (!is_open()) return sum;
  for (const Stripe& stripe : stripes_) sum += stripe.lane->take_latencies();
  return sum;
}

DiskEngine::BusyTimes DiskEngine::busy_times() const {
  const Lock lock(signal_.mutex);
  BusyTimes times;
  if (!is_open()) return times;
  for (const Stripe& stripe : stripes_) {
    times.demand_us = std::max(times.demand_us, stripe.lane->demand_us());
    times.hint_us = std::max(times.hint_us, stripe.lane->hint_us());
    times.write_us = std::max(times.write_us, stripe.lane->write_us(WriteQueue::kWriteBack));
    times.save_us = std::max(times.save_us, stripe.lane->write_us(WriteQueue::kSave));
  }
  return times;
}

}  // namespace mneme::offload
