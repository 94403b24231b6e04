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
  buffers_.assign(buffers.all(), {});
  const std::uint32_t first_write = buffers.reads + buffers.hints;
  const std::uint32_t first_save = first_write + buffers.write_back;
  const auto hold = [](Writes& writes, std::uint32_t begin, std::uint32_t count) {
    writes.first = begin;
    writes.count = writes.free = count;
  };
  hold(writes_[0], first_write, buffers.write_back);
  hold(writes_[1], first_save, buffers.saves);
  // The thread allocates nothing: it has nobody to tell that memory is out.
  starts_.reserve(buffers.all());
  finished_.reserve(buffers.all());
  arrived_.reserve(buffers.reads);
  writing_.reserve(std::size_t{buffers.write_back} + buffers.saves);
  written_.reserve(2 * (std::size_t{buffers.write_back} + buffers.saves));
  for (std::uint32_t i = buffers.reads; i-- > 0;) free_reads_.push_back(i);
  for (std::uint32_t i = first_write; i-- > buffers.reads;) {
    free_hints_.push_back(i);
    buffers_[i].kind = Kind::kHint;
  }
  for (std::uint32_t i = first_write; i < buffers.all(); ++i) {
    buffers_[i].kind = i < first_save ? Kind::kWriteBack : Kind::kSave;
  }
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

bool DiskLane::has_write_buffers(WriteQueue queue) const {
  const Writes& mine = writes(queue);
  const std::uint32_t free = free_write_buffers(queue);
  return free > 0 && (free >= mine.count / 4 || !mine.are_due());
}

// They complete in any order, and are handed out in turn: those behind one that is not back yet
// have to wait.
std::uint32_t DiskLane::free_write_buffers(WriteQueue queue) const {
  const Writes& mine = writes(queue);
  return mine.count > 0 && !buffers_[mine.first + mine.next].is_taken ? mine.free : 0;
}

std::uint32_t DiskLane::take_write_buffer(WriteQueue queue) {
  Writes& mine = writes(queue);
  const std::uint32_t taken = mine.first + mine.next;
  CHECK(!buffers_[taken].is_taken);
  buffers_[taken].is_taken = true;
  --mine.free;
  mine.next = (mine.next + 1) % mine.count;
  return first_ + taken;
}

WriteQueue DiskLane::queue_of(std::uint32_t buffer) const {
  const Kind kind = buffers_[buffer - first_].kind;
  CHECK(is_write(kind));
  return kind == Kind::kSave ? WriteQueue::kSave : WriteQueue::kWriteBack;
}

void DiskLane::return_write_buffer(std::uint32_t buffer) {
  Buffer& mine = buffers_[buffer - first_];
  mine.is_taken = false;
  ++writes(mine.kind).free;
}

void DiskLane::assign(std::uint32_t buffer, const RecordPlace& place) {
  Buffer& mine = buffers_[buffer - first_];
  CHECK(is_write(mine.kind) && mine.is_taken);
  mine.place = place;
}

void DiskLane::write(std::uint32_t buffer) {
  const Buffer& mine = buffers_[buffer - first_];
  CHECK(is_write(mine.kind) && mine.is_taken);
  writes(mine.kind).queue.push_back(buffer - first_);
  writing_[mine.place.slot] = buffer - first_;
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
