#include "offload/disk/disk_lane.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <system_error>

#include "io/advice.h"
#include "io/check.h"
#include "io/errno_text.h"
#include "io/error.h"

namespace mneme::offload {

using kernels::RowId;

namespace {

// The most bytes of records that go to the disk in one transfer.
constexpr std::uint32_t kRunBytes = std::uint32_t{256} << 10;

}  // namespace

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

// ---- The thread.

bool DiskLane::has_job() const {
  return !jobs_.empty() && (!jobs_.front().idle || is_quiet());
}

void DiskLane::work() {
  std::unique_lock lock(signal_.mutex);
  for (;;) {
    if (has_job()) {
      run_job(lock);
      continue;
    }
    const bool waits_for_quiet = !jobs_.empty();
    if (!waits_for_quiet) choose();
    if (starts_.empty() && is_quiet()) {
      if (is_stopping_ && jobs_.empty()) break;
      work_.wait(lock);
      continue;
    }
    lock.unlock();
    try {
      for (const Start& next : starts_) start(next);
      collect();
      for (const Finished& finished : finished_) land(finished);
    } catch (const std::exception& error) {
      give_up(error);
    }
    starts_.clear();
    lock.lock();
    publish();
  }
  // The ring belongs to this thread.
  lock.unlock();
  file_.reset();
}

void DiskLane::run_job(std::unique_lock<std::mutex>& lock) {
  Queued queued = std::move(jobs_.front());
  jobs_.pop_front();
  lock.unlock();
  std::exception_ptr failure;
  std::uint64_t capacity = 0, bytes = 0;
  try {
    queued.job(file_);
  } catch (const std::exception&) {
    failure = std::current_exception();
  }
  if (file_) {
    capacity = file_->capacity_slots();
    bytes = file_->file().size_bytes();
  }
  lock.lock();
  if (file_) slot_bytes_ = file_->slot_bytes();
  capacity_slots_ = capacity;
  file_bytes_ = bytes;
  if (queued.result == nullptr) return;
  *queued.result = {true, failure};
  signal_.tell();
}

// The bytes that the disk is asked for.
std::uint32_t DiskLane::start_read(std::uint32_t buffer) {
  const auto written = writing_.find(buffers_[buffer].place.slot);
  if (written != writing_.end()) {
    starts_.push_back({buffer, written->second});
    return 0;
  }
  starts_.push_back({buffer, std::nullopt});
  ++in_ring(buffers_[buffer].kind);
  return slot_bytes_;
}

void DiskLane::choose() {
  choose_reads();
  choose_writes();
  choose_hints(hurried_);
  if (demand_.empty() && demand_flying_ == 0 && writes_.empty()) choose_hints(hints_);
}

void DiskLane::choose_reads() {
  while (!demand_.empty() && !free_reads_.empty() && in_ring(Kind::kRead) < depth_) {
    const std::uint32_t buffer = free_reads_.back();
    free_reads_.pop_back();
    buffers_[buffer].is_taken = true;
    buffers_[buffer].place = demand_.front();
    demand_.pop_front();
    begin(demand_flying_, demand_time_);
    ++demand_rows_;
    demand_bytes_ += start_read(buffer);
  }
}

void DiskLane::choose_writes() {
  while (!writes_.empty() && in_ring(Kind::kWrite) < depth_) {
    const std::uint32_t first = writes_.front();
    std::uint32_t run = 0;
    const auto continues = [&] {
      if (writes_.empty() || stride_ != slot_bytes_) return false;
      const std::uint32_t next = writes_.front();
      return next == first + run && buffers_[next].place.slot == buffers_[first].place.slot + run &&
             (run + 1) * std::uint64_t{slot_bytes_} <= kRunBytes;
    };
    do {
      writes_.pop_front();
      ++run;
    } while (continues());
    buffers_[first].run = run;
    starts_.push_back({first, std::nullopt});
    ++in_ring(Kind::kWrite);
    begin(write_flying_, write_time_);
  }
}

void DiskLane::choose_hints(std::deque<RowId>& queue) {
  while (!queue.empty() && !free_hints_.empty() && in_ring(Kind::kHint) < depth_) {
    const auto found = hint_reads_.find(queue.front());
    queue.pop_front();
    if (found == hint_reads_.end() || found->second.is_reading) continue;
    found->second.is_reading = true;
    const std::uint32_t buffer = free_hints_.back();
    free_hints_.pop_back();
    buffers_[buffer].is_taken = true;
    buffers_[buffer].place = found->second.place;
    buffers_[buffer].target = found->second.target;
    begin(hint_flying_, hint_time_);
    hint_events_.push_back({found->first, false, start_read(buffer)});
  }
}

// The buffers of transfers under way are the thread's own: no lock is needed for them.
void DiskLane::start(const Start& start) {
  const Buffer& buffer = buffers_[start.buffer];
  if (start.copy_of) {
    std::memcpy(data(start.buffer), data(*start.copy_of), slot_bytes_);
    finished_.push_back({start.buffer, 0, /*is_copy=*/true});
    return;
  }
  const auto queue = [&] {
    if (buffer.kind != Kind::kWrite) {
      return file_->submit_read(data(start.buffer), buffer.place.slot, start.buffer);
    }
    return file_->submit_write(data(start.buffer), buffer.place.slot, start.buffer, buffer.run);
  };
  if (buffer.kind == Kind::kWrite) {
    for (std::uint32_t i = 0; i < buffer.run; ++i) {
      const RecordPlace& place = buffers_[start.buffer + i].place;
      file_->seal(data(start.buffer + i), {place.row, place.slot, place.generation});
    }
  }
  while (!queue()) collect();
}

// Takes what has come; waits for something when nothing has.
void DiskLane::collect() {
  std::array<io::BlockCompletion, 64> completions;
  bool wait = finished_.empty();
  for (;;) {
    const std::size_t count = file_->file().poll(completions, wait);
    for (std::size_t i = 0; i < count; ++i) {
      const auto buffer = static_cast<std::uint32_t>(completions[i].tag);
      --in_ring(buffers_[buffer].kind);
      finished_.push_back({buffer, completions[i].error, /*is_copy=*/false});
    }
    if (count < completions.size()) return;
    wait = false;
  }
}

// The first problem is told, in few words where memory is out.
template <typename Text>
void DiskLane::note(const Text& text) {
  if (!problem_.empty()) return;
  try {
    problem_ = text();
  } catch (const std::bad_alloc&) {
    problem_ = "out of memory";
  }
}

// Looks at what has come.
void DiskLane::land(const Finished& finished) {
  const Buffer& buffer = buffers_[finished.buffer];
  const RecordPlace& place = buffer.place;
  const bool is_write = buffer.kind == Kind::kWrite;
  if (finished.error != 0) {
    note([&] {
      return fmt::format("{} row {} {} slot {} of {} failed: {}; {}",
                         is_write ? "writing" : "reading", place.row, is_write ? "to" : "from",
                         place.slot, path_, io::errno_text(finished.error), kStopped);
    });
    return;
  }
  if (!is_write && !finished.is_copy) {
    const auto reason =
        file_->mismatch(data(finished.buffer), {place.row, place.slot, place.generation});
    if (reason) {
      note([&] {
        return fmt::format("{}: row {} in disk slot {} is damaged ({}); {}", path_, place.row,
                           place.slot, *reason, io::kOlderCheckpoint);
      });
      return;
    }
  }
  if (buffer.kind == Kind::kHint) {
    std::memcpy(buffer.target, data(finished.buffer) + io::RecordFile::kPayloadOffset,
                file_->payload_bytes());
  }
}

// The system takes no more transfers: nothing is under way any more.
void DiskLane::give_up(const std::exception& error) {
  note([&] { return fmt::format("{}; {}", error.what(), kStopped); });
  const std::lock_guard lock(signal_.mutex);
  finished_.clear();
  in_ring_ = {};
  const auto stop = [](std::uint32_t& flying, BusyTime& time) {
    if (std::exchange(flying, 0) > 0) time.stop();
  };
  stop(demand_flying_, demand_time_);
  stop(write_flying_, write_time_);
  stop(hint_flying_, hint_time_);
  writes_.clear();
  for (const auto& [slot, buffer] : writing_) {
    written_.push_back(slot);
    buffers_[buffer].is_taken = false;
    ++free_writes_;
  }
  writing_.clear();
  hint_reads_.clear();
}

void DiskLane::publish() {
  for (const Finished& finished : finished_) {
    Buffer& buffer = buffers_[finished.buffer];
    switch (buffer.kind) {
      case Kind::kRead:
        end(demand_flying_, demand_time_);
        arrived_.push_back({first_ + finished.buffer, buffer.place.index});
        break;
      case Kind::kHint:
        end(hint_flying_, hint_time_);
        hint_reads_.erase(buffer.place.row);
        hint_events_.push_back({buffer.place.row, true, 0});
        buffer.is_taken = false;
        free_hints_.push_back(finished.buffer);
        break;
      case Kind::kWrite:
        end(write_flying_, write_time_);
        for (std::uint32_t i = 0; i < buffer.run; ++i) {
          Buffer& record = buffers_[finished.buffer + i];
          record.is_taken = false;
          ++free_writes_;
          writing_.erase(record.place.slot);
          written_.push_back(record.place.slot);
        }
        break;
    }
  }
  finished_.clear();
  if (file_) retries_ = file_->file().counters().retries;
  if (!problem_.empty() && failure_.empty()) fail(problem_);
  signal_.tell();
}

}  // namespace mneme::offload
