#include "offload/disk/disk_lane.h"

#include <algorithm>
#include <system_error>

#include "io/check.h"
#include "io/errno_text.h"
#include "io/error.h"

namespace mneme::offload {

using kernels::RowId;

DiskLane::DiskLane(DiskSignal& signal, std::string path, std::uint32_t depth)
    : signal_(signal), path_(std::move(path)), depth_(depth) {
  CHECK(depth > 0);
  try {
    thread_ = std::thread([this] { work(); });
  } catch (const std::system_error& refused) {
    io::fail("{}: cannot start a thread for it: {}; raise the limits (ulimit -u, ulimit -v)", path_,
             io::errno_text(refused.code().value()));
  }
}

DiskLane::~DiskLane() {
  {
    const std::lock_guard lock(signal_.mutex);
    is_stopping_ = true;
    drop_reads();
    work_.notify_one();
  }
  thread_.join();
}

void DiskLane::queue(Job job, bool idle, JobResult* result) {
  jobs_.push_back({std::move(job), idle, result});
  work_.notify_one();
}

void DiskLane::set_buffers(std::byte* memory, std::size_t stride, std::uint32_t first,
                           const LaneBuffers& buffers) {
  memory_ = memory;
  stride_ = stride;
  first_ = first;
  counts_ = buffers;
  buffers_.assign(buffers.all(), {});
  first_write_ = buffers.reads + buffers.hints;
  free_writes_ = buffers.writes;
  // The thread allocates nothing: it has nobody to tell that memory is out.
  starts_.reserve(buffers.all());
  finished_.reserve(buffers.all());
  arrived_.reserve(buffers.reads);
  written_.reserve(2 * std::size_t{buffers.writes});
  for (std::uint32_t i = buffers.reads; i-- > 0;) free_reads_.push_back(i);
  for (std::uint32_t i = first_write_; i-- > buffers.reads;) {
    free_hints_.push_back(i);
    buffers_[i].kind = Kind::kHint;
  }
  for (std::uint32_t i = first_write_; i < buffers.all(); ++i) buffers_[i].kind = Kind::kWrite;
}

// ---- What callers ask for.

void DiskLane::read(const RecordPlace& place) {
  demand_.push_back(place);
}

void DiskLane::release_read(std::uint32_t buffer) {
  Buffer& mine = buffers_[buffer - first_];
  CHECK(mine.kind == Kind::kRead && mine.is_taken);
  mine.is_taken = false;
  free_reads_.push_back(buffer - first_);
}

// Where many are on their way to the disk, they are waited for together.
bool DiskLane::has_write_buffer() const {
  const bool is_free = !buffers_[first_write_ + next_write_].is_taken;
  return is_free && (free_writes_ >= counts_.writes / 4 || !writes_are_due());
}

std::uint32_t DiskLane::take_write_buffer() {
  Buffer& buffer = buffers_[first_write_ + next_write_];
  CHECK(!buffer.is_taken);
  buffer.is_taken = true;
  --free_writes_;
  const std::uint32_t taken = first_ + first_write_ + next_write_;
  next_write_ = (next_write_ + 1) % counts_.writes;
  return taken;
}

void DiskLane::return_write_buffer(std::uint32_t buffer) {
  buffers_[buffer - first_].is_taken = false;
  ++free_writes_;
}

void DiskLane::write(std::uint32_t buffer, const RecordPlace& place) {
  Buffer& mine = buffers_[buffer - first_];
  CHECK(mine.kind == Kind::kWrite && mine.is_taken);
  mine.place = place;
  writes_.push_back(buffer - first_);
  writing_[place.slot] = buffer - first_;
}

void DiskLane::hint(const RecordPlace& place, std::byte* target) {
  const bool is_new = hint_reads_.emplace(place.row, HintRead{place, target}).second;
  CHECK(is_new, "row {} was hinted before", place.row);
  hints_.push_back(place.row);
  const std::size_t events = hint_events_.size() + 2 * hint_reads_.size();
  if (hint_events_.capacity() < events) hint_events_.reserve(2 * events);
}

void DiskLane::hurry(RowId row) {
  const auto found = hint_reads_.find(row);
  if (found == hint_reads_.end() || found->second.is_reading) return;
  hurried_.push_back(row);
}

bool DiskLane::cancel(RowId row) {
  const auto found = hint_reads_.find(row);
  if (found == hint_reads_.end()) return true;
  if (found->second.is_reading) return false;
  hint_reads_.erase(found);
  return true;
}

void DiskLane::fail(std::string message) {
  if (failure_.empty()) failure_ = std::move(message);
  drop_reads();
  signal_.tell();
}

void DiskLane::drop_reads() {
  demand_.clear();
  hints_.clear();
  hurried_.clear();
  std::erase_if(hint_reads_, [](const auto& entry) { return !entry.second.is_reading; });
}

}  // namespace mneme::offload
