#include "offload/trace/trace_writer.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "io/check.h"
#include "io/log.h"

namespace mneme::offload {

TraceWriter::TraceWriter(kernels::Backend& backend, io::Disk& disk, const std::string& path,
                         const TraceHeader& header, std::uint64_t keep_bytes)
    : backend_(backend),
      file_(disk, path, header, keep_bytes),
      framed_(std::chrono::steady_clock::now()),
      memory_(kernels::pinned_array<std::uint32_t>(
          backend, kPieceEntries * static_cast<std::int64_t>(kPieces))) {
  for (std::size_t i = 0; i < kPieces; ++i) {
    pieces_[i] = {memory_.data() + static_cast<std::int64_t>(i) * kPieceEntries,
                  backend.create_event()};
    free_.push_back(i);
  }
  thread_ = std::thread([this] { run(); });
}

TraceWriter::~TraceWriter() {
  {
    const std::lock_guard lock(mutex_);
    stops_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void TraceWriter::push(Job job) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return jobs_.size() < kMostQueued || has_failed_; });
  jobs_.push_back(std::move(job));
  lock.unlock();
  changed_.notify_all();
}

void TraceWriter::add(TraceEvent event) {
  push({.event = std::move(event)});
}

std::size_t TraceWriter::free_piece() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !free_.empty(); });
  const std::size_t piece = free_.back();
  free_.pop_back();
  return piece;
}

void TraceWriter::add(TraceEvent event, kernels::Stream& stream, const std::uint32_t* list,
                      std::int64_t count) {
  push({.event = std::move(event), .listed = count});
  for (std::int64_t first = 0; first < count; first += kPieceEntries) {
    const std::int64_t entries = std::min(kPieceEntries, count - first);
    const std::size_t piece = free_piece();
    backend_.copy(stream, pieces_[piece].entries, list + first,
                  kernels::DeviceArray<std::uint32_t>::bytes(entries));
    stream.record(*pieces_[piece].arrived);
    push({.event = std::nullopt, .piece = piece, .entries = entries});
  }
}

void TraceWriter::add_checkpoint(std::uint64_t steps) {
  push({.event = TraceEvent{.kind = TraceKind::kCheckpoint, .number = steps}, .ends_frame = true});
}

void TraceWriter::flush() {
  push({.event = std::nullopt, .ends_frame = true});
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return jobs_.empty() && !is_working_; });
}

void TraceWriter::run() {
  backend_.use_in_this_thread();
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return !jobs_.empty() || stops_; });
    const bool is_last = jobs_.empty();
    Job job;
    if (is_last) {
      job.ends_frame = true;
    } else {
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    is_working_ = true;
    const bool works = !has_failed_;
    lock.unlock();
    bool fails = false;
    if (works) {
      try {
        work(job);
      } catch (const std::exception& error) {
        fails = true;
        io::warn("the trace ends here: {}", error.what());
      }
    }
    lock.lock();
    has_failed_ = has_failed_ || fails;
    is_working_ = false;
    if (job.piece < kPieces) free_.push_back(job.piece);
    changed_.notify_all();
    if (is_last) return;
  }
}

void TraceWriter::work(Job& job) {
  if (job.event && job.listed > 0) {
    open_ = std::move(job.event);
    to_come_ = job.listed;
    open_->list.reserve(static_cast<std::size_t>(to_come_));
    return;
  }
  if (job.piece < kPieces) {
    CHECK(open_ && job.entries <= to_come_);
    Piece& piece = pieces_[job.piece];
    if (!piece.arrived->reached()) piece.arrived->synchronize();
    open_->list.insert(open_->list.end(), piece.entries, piece.entries + job.entries);
    to_come_ -= job.entries;
    if (to_come_ > 0) return;
    take(*open_);
    open_.reset();
    return;
  }
  if (job.event) take(*job.event);
  if (!job.ends_frame) return;
  end_frame(job.event ? std::optional(job.event->number) : std::nullopt);
}

void TraceWriter::take(const TraceEvent& event) {
  if (event.kind == TraceKind::kStep &&
      (events_.size() >= kFrameBytes || std::chrono::steady_clock::now() - framed_ >= kFrameTime)) {
    end_frame(std::nullopt);
  }
  encode(event, lists_, events_);
}

void TraceWriter::end_frame(std::optional<std::uint64_t> checkpoint) {
  framed_ = std::chrono::steady_clock::now();
  if (events_.empty()) return;
  file_.append(events_, checkpoint);
  events_.clear();
  lists_.clear();
}

}  // namespace mneme::offload
