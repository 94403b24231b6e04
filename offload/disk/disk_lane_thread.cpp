// The thread of a lane: what it takes from the queues, how it starts it, and what it makes of what
// comes.
#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "io/advice.h"
#include "io/errno_text.h"
#include "io/error.h"
#include "io/timeline.h"
#include "offload/disk/disk_lane.h"

namespace mneme::offload {

using kernels::RowId;

namespace {

// The most bytes of records that go to the disk in one transfer.
constexpr std::uint32_t kRunBytes = std::uint32_t{256} << 10;
// Of a checkpoint's records under way at once: enough to keep a disk busy.
constexpr std::uint64_t kSaveBytes = std::uint64_t{2} << 20;

}  // namespace

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
  std::uint64_t capacity = capacity_slots_, bytes = file_bytes_;  // this thread's to change
  try {
    queued.job(file_);
    if (file_) {
      capacity = file_->capacity_slots();
      bytes = file_->file().size_bytes();
    }
  } catch (const std::exception&) {
    failure = std::current_exception();
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
  choose_writes(Kind::kWriteBack, std::numeric_limits<std::uint64_t>::max());
  choose_hints(hurried_);
  choose_writes(Kind::kSave, kSaveBytes);
  const bool is_idle =
      demand_.empty() && demand_flying_ == 0 && writes(Kind::kWriteBack).queue.empty();
  if (is_idle) choose_hints(hints_);
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

void DiskLane::choose_writes(Kind kind, std::uint64_t most_bytes) {
  Writes& mine = writes(kind);
  while (!mine.queue.empty() && in_ring(kind) < depth_ && mine.flying_bytes < most_bytes) {
    const std::uint32_t first = mine.queue.front();
    std::uint32_t run = 0;
    const auto continues = [&] {
      if (mine.queue.empty() || stride_ != slot_bytes_) return false;
      const std::uint32_t next = mine.queue.front();
      return next == first + run && buffers_[next].place.slot == buffers_[first].place.slot + run &&
             (run + 1) * std::uint64_t{slot_bytes_} <= kRunBytes;
    };
    do {
      mine.queue.pop_front();
      ++run;
    } while (continues());
    buffers_[first].run = run;
    starts_.push_back({first, std::nullopt});
    ++in_ring(kind);
    mine.flying_bytes += run * std::uint64_t{slot_bytes_};
    begin(mine.flying, mine.time);
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
  Buffer& buffer = buffers_[start.buffer];
  if (start.copy_of) {
    std::memcpy(data(start.buffer), data(*start.copy_of), slot_bytes_);
    finished_.push_back({start.buffer, 0, /*is_copy=*/true, 0});
    return;
  }
  const auto queue = [&] {
    if (!is_write(buffer.kind)) {
      return file_->submit_read(data(start.buffer), buffer.place.slot, start.buffer);
    }
    return file_->submit_write(data(start.buffer), buffer.place.slot, start.buffer, buffer.run);
  };
  if (is_write(buffer.kind)) {
    for (std::uint32_t i = 0; i < buffer.run; ++i) {
      const RecordPlace& place = buffers_[start.buffer + i].place;
      file_->seal(data(start.buffer + i), {place.row, place.slot, place.generation});
    }
  }
  buffer.started = Clock::now();
  while (!queue()) collect();
}

// Takes what has come; waits for something when nothing has.
void DiskLane::collect() {
  std::array<io::BlockCompletion, 64> completions;
  bool wait = finished_.empty();
  for (;;) {
    const std::size_t count = file_->file().poll(completions, wait);
    const Clock::time_point now = count > 0 ? Clock::now() : Clock::time_point();
    for (std::size_t i = 0; i < count; ++i) {
      const auto buffer = static_cast<std::uint32_t>(completions[i].tag);
      --in_ring(buffers_[buffer].kind);
      const auto took =
          std::chrono::duration_cast<std::chrono::microseconds>(now - buffers_[buffer].started);
      finished_.push_back({buffer, completions[i].error, /*is_copy=*/false,
                           static_cast<std::uint64_t>(took.count())});
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
  const bool is_write = DiskLane::is_write(buffer.kind);
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
  stop(hint_flying_, hint_time_);
  for (Writes& mine : writes_) {
    stop(mine.flying, mine.time);
    mine.flying_bytes = 0;
    mine.queue.clear();
  }
  for (const auto& [slot, buffer] : writing_) {
    written_.push_back(slot);
    buffers_[buffer].is_taken = false;
    ++writes(buffers_[buffer].kind).free;
  }
  writing_.clear();
  hint_reads_.clear();
}

void DiskLane::end(std::uint32_t& flying, BusyTime& time, DiskQueue queue) {
  if (--flying > 0) return;
  time.stop();
  if (io::Timeline* const timeline = io::Timeline::current()) {
    const bool reads = queue == DiskQueue::kDemand || queue == DiskQueue::kHint;
    const std::string name = io::name_of(queue);
    const std::string file = path_.substr(path_.rfind('/') + 1);
    timeline->add(fmt::format("5 disk {} {}", file, name), reads ? "reads" : "writes",
                  time.started(), Clock::now());
  }
}

void DiskLane::publish() {
  for (const Finished& finished : finished_) {
    Buffer& buffer = buffers_[finished.buffer];
    if (!finished.is_copy && finished.error == 0) {
      latencies_[static_cast<DiskQueue>(buffer.kind)].add(finished.us);
    }
    switch (buffer.kind) {
      case Kind::kRead:
        end(demand_flying_, demand_time_, DiskQueue::kDemand);
        arrived_.push_back({first_ + finished.buffer, buffer.place.index});
        break;
      case Kind::kHint:
        end(hint_flying_, hint_time_, DiskQueue::kHint);
        hint_reads_.erase(buffer.place.row);
        hint_events_.push_back({buffer.place.row, true, 0});
        buffer.is_taken = false;
        free_hints_.push_back(finished.buffer);
        break;
      case Kind::kWriteBack:
      case Kind::kSave: {
        Writes& mine = writes(buffer.kind);
        end(mine.flying, mine.time, static_cast<DiskQueue>(buffer.kind));
        mine.flying_bytes -= buffer.run * std::uint64_t{slot_bytes_};
        for (std::uint32_t i = 0; i < buffer.run; ++i) {
          Buffer& record = buffers_[finished.buffer + i];
          record.is_taken = false;
          ++mine.free;
          writing_.erase(record.place.slot);
          written_.push_back(record.place.slot);
        }
        break;
      }
    }
  }
  finished_.clear();
  if (file_) retries_ = file_->file().counters().retries;
  if (!problem_.empty() && failure_.empty()) fail(std::move(problem_));
  signal_.tell();
}

}  // namespace mneme::offload
