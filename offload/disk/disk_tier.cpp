#include "offload/disk/disk_tier.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "io/advice.h"
#include "io/check.h"
#include "io/errno_text.h"
#include "io/error.h"

namespace mneme::offload {
namespace {

constexpr std::uint64_t kGrowthBytes = std::uint64_t{64} << 20;

}  // namespace

DiskTier::DiskTier(kernels::Backend& backend, io::Disk& disk, DiskTierOptions options)
    : backend_(backend),
      disk_(disk),
      options_(std::move(options)),
      slot_of_row_(options_.table_rows),
      changed_(options_.table_rows) {
  read_buffers_ = std::max<std::uint32_t>(options_.open.depth * 2, 4);
  write_buffers_ = std::max<std::uint32_t>(options_.open.depth * 2, 4);
}

DiskTier::~DiskTier() {
  // The kernel may still be using the staging memory: it must not go before its completions.
  try {
    while (file_ && file_->file().in_flight() > 0) pump(true);
  } catch (const std::exception&) {
    // Nobody is left to tell; the caller who lost a write was told by sync().
  }
}

void DiskTier::require_running() const {
  if (!failure_.empty()) {
    io::fail(
        "{}; the store stopped there: make room or mend the disk, then resume from the last "
        "checkpoint",
        failure_);
  }
}

void DiskTier::allocate_staging() {
  const std::uint32_t total = read_buffers_ + write_buffers_;
  const std::size_t bytes = static_cast<std::size_t>(total) * file_->slot_bytes();
  staging_ = backend_.allocate(bytes, kernels::MemoryKind::kPinnedHost);
  file_->file().register_buffer({staging_.as<std::byte>(), bytes});
  buffers_.assign(total, {});
  for (std::uint32_t i = read_buffers_; i-- > 0;) free_reads_.push_back(i);
  for (std::uint32_t i = total; i-- > read_buffers_;) {
    free_writes_.push_back(i);
    buffers_[i].is_write = true;
  }
}

void DiskTier::ensure_open() {
  if (file_) return;
  if (options_.path.empty()) {
    io::fail(
        "rows do not fit the device and host tiers and no rows file was given; raise "
        "tiers.device_bytes or tiers.host_bytes, or give the run a directory");
  }
  const std::size_t slash = options_.path.rfind('/');
  if (slash != std::string::npos && slash > 0) {
    disk_.make_directories(options_.path.substr(0, slash));
  }
  // Without a checkpoint that refers to it this table's own file holds nothing of value.
  std::uint64_t there = 0;
  if (disk_.exists(options_.path) && io::is_record_file(disk_, options_.path, &there) &&
      there == options_.table_id) {
    disk_.remove(options_.path);
  }
  file_ = io::RecordFile::create(disk_, options_.path, {options_.record_bytes, options_.table_id},
                                 options_.open);
  allocate_staging();
}

std::byte* DiskTier::buffer_data(std::uint32_t buffer) const {
  return staging_.as<std::byte>() + static_cast<std::size_t>(buffer) * file_->slot_bytes();
}

kernels::HostRecords DiskTier::staging() const {
  if (!file_) return {};
  return kernels::HostRecords::in_one_piece(
      staging_.as<std::byte>() + io::RecordFile::kPayloadOffset, file_->slot_bytes());
}

std::byte* DiskTier::write_payload(std::uint32_t buffer) {
  return buffer_data(buffer) + io::RecordFile::kPayloadOffset;
}

const std::byte* DiskTier::read_payload(std::uint32_t buffer) const {
  return buffer_data(buffer) + io::RecordFile::kPayloadOffset;
}

std::uint32_t DiskTier::stage_write() {
  require_running();
  ensure_open();
  while (free_writes_.empty()) {
    pump(true);
    require_running();
  }
  const std::uint32_t buffer = free_writes_.back();
  free_writes_.pop_back();
  buffers_[buffer].state = BufferState::kStaged;
  return buffer;
}

void DiskTier::reserve_for(std::uint64_t slots) {
  if (slots <= file_->capacity_slots()) return;
  const std::uint64_t bytes = slots * file_->slot_bytes();
  if (options_.limit_bytes != 0 && bytes > options_.limit_bytes) {
    io::fail(
        "{} would need {} bytes for {} records, tiers.disk_bytes allows {}; raise it or keep "
        "fewer checkpoints",
        options_.path, bytes, slots, options_.limit_bytes);
  }
  // Grow ahead so that the file system is asked rarely; near the end of the disk take what is left.
  std::uint64_t ahead = std::max<std::uint64_t>(kGrowthBytes, bytes / 16) / file_->slot_bytes();
  if (options_.limit_bytes != 0) {
    ahead = std::min(ahead, (options_.limit_bytes - bytes) / file_->slot_bytes());
  }
  try {
    file_->reserve(slots + ahead);
  } catch (const io::Error&) {
    if (ahead == 0) throw;
    file_->reserve(slots);
  }
}

void DiskTier::submit_write(std::uint32_t buffer, kernels::RowId row) {
  require_running();
  CHECK(buffers_[buffer].state == BufferState::kStaged);
  if (slots_.free_slots() == 0) reserve_for(slots_.slots() + 1);
  const std::uint32_t slot = slots_.allocate();
  if (slot >= generations_.size()) generations_.resize(slot + std::size_t{1}, 0);
  generations_[slot] = next_generation_++;
  file_->seal(buffer_data(buffer), {row, slot, generations_[slot]});
  buffers_[buffer].row = row;
  buffers_[buffer].slot = slot;
  writing_[slot] = buffer;
  submit(buffer);
  if (writes_in_flight_++ == 0) writing_time_.start();
  if (has_slot(row)) discard(slot_of(row));
  slot_of_row_[row] = slot + 1;
  changed_.note(row);
}

std::uint64_t DiskTier::slot_limit() {
  if (options_.limit_bytes == 0 || !has_file()) return 0;
  require_running();
  ensure_open();
  return std::max<std::uint64_t>(1, options_.limit_bytes / file_->slot_bytes());
}

bool DiskTier::reserve_slot() {
  require_running();
  if (slots_.free_slots() > 0) return true;
  try {
    reserve_for(slots_.slots() + 1);
    return true;
  } catch (const io::Error&) {
    return false;
  }
}

void DiskTier::finish_writes() {
  while (writes_in_flight_ > 0) pump(true);
  require_running();
}

// The row has no use for its slot any more.
void DiskTier::discard(std::uint32_t slot) {
  // A slot whose own write is still on its way must not be reused before that write is over.
  if (writing_.contains(slot)) {
    superseded_in_flight_.insert(slot);
  } else {
    slots_.supersede(slot);
  }
}

void DiskTier::submit(std::uint32_t buffer) {
  StagingBuffer& staging = buffers_[buffer];
  staging.state = BufferState::kInFlight;
  for (;;) {
    const bool queued = staging.is_write
                            ? file_->submit_write(buffer_data(buffer), staging.slot, buffer)
                            : file_->submit_read(buffer_data(buffer), staging.slot, buffer);
    if (queued) return;
    pump(true);
  }
}

void DiskTier::pump(bool wait) {
  std::array<io::BlockCompletion, 64> completions;
  for (;;) {
    const std::size_t count = file_->file().poll(completions, wait);
    for (std::size_t i = 0; i < count; ++i) {
      complete(static_cast<std::uint32_t>(completions[i].tag), completions[i].error);
    }
    if (count < completions.size()) return;
    wait = false;
  }
}

void DiskTier::complete(std::uint32_t buffer, int error) {
  StagingBuffer& staging = buffers_[buffer];
  if (staging.is_write) {
    if (--writes_in_flight_ == 0) writing_time_.stop();
    writing_.erase(staging.slot);
    if (error != 0 && failure_.empty()) {
      failure_ = fmt::format("writing row {} to slot {} of {} failed: {}", staging.row,
                             staging.slot, options_.path, io::errno_text(error));
    }
    if (superseded_in_flight_.erase(staging.slot) > 0) slots_.supersede(staging.slot);
    staging.state = BufferState::kFree;
    free_writes_.push_back(buffer);
    return;
  }
  --reads(staging.whom).in_flight;
  if (reads_in_flight() == 0) reading_.stop();
  if (error != 0) {
    staging.state = BufferState::kFree;
    free_reads_.push_back(buffer);
    if (failure_.empty()) {
      failure_ = fmt::format("reading row {} from slot {} of {} failed: {}", staging.row,
                             staging.slot, options_.path, io::errno_text(error));
    }
    return;
  }
  staging.state = BufferState::kReady;
  reads(staging.whom).ready.push_back(buffer);
}

std::optional<std::uint32_t> DiskTier::start_read(kernels::RowId row, ReadFor whom) {
  require_running();
  CHECK(file_ && has_slot(row), "row {} has no record on disk", row);
  const std::uint32_t slot = slot_of(row);
  if (free_reads_.empty()) return std::nullopt;
  const std::uint32_t buffer = free_reads_.back();
  free_reads_.pop_back();
  buffers_[buffer].row = row;
  buffers_[buffer].slot = slot;
  buffers_[buffer].whom = whom;
  if (const auto found = writing_.find(slot); found != writing_.end()) {
    std::memcpy(buffer_data(buffer), buffer_data(found->second), file_->slot_bytes());
    buffers_[buffer].state = BufferState::kReady;
    reads(whom).ready.push_back(buffer);
    return 0;
  }
  submit(buffer);
  if (reads_in_flight() == 0) reading_.start();
  ++reads(whom).in_flight;
  return file_->slot_bytes();
}

void DiskTier::verify(std::uint32_t buffer) const {
  const StagingBuffer& staging = buffers_[buffer];
  const auto reason =
      file_->mismatch(buffer_data(buffer), {staging.row, staging.slot, generations_[staging.slot]});
  if (reason) {
    io::fail("{}: row {} in disk slot {} is damaged ({}); {}", options_.path, staging.row,
             staging.slot, *reason, io::kOlderCheckpoint);
  }
}

std::optional<FinishedRead> DiskTier::finished_read(ReadFor whom, bool wait) {
  if (!file_) return std::nullopt;
  Reads& mine = reads(whom);
  if (mine.ready.empty()) {
    pump(false);
    while (wait && mine.ready.empty() && mine.in_flight > 0) pump(true);
    require_running();
  }
  if (mine.ready.empty()) return std::nullopt;
  const std::uint32_t buffer = mine.ready.front();
  mine.ready.pop_front();
  verify(buffer);
  return FinishedRead{buffer, buffers_[buffer].row};
}

void DiskTier::release_read(std::uint32_t buffer) {
  CHECK(buffers_[buffer].state == BufferState::kReady);
  buffers_[buffer].state = BufferState::kFree;
  free_reads_.push_back(buffer);
}

void DiskTier::sync() {
  require_running();
  if (!file_) return;
  while (writes_in_flight_ > 0 || reads_in_flight() > 0) pump(true);
  require_running();
  try {
    file_->file().sync();
  } catch (const io::Error& error) {
    failure_ = error.what();
    throw;
  }
}

}  // namespace mneme::offload
