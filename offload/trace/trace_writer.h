// Writes a trace while training goes on: a thread of its own encodes, compresses and appends. Lists
// of rows in device memory are copied by the stream that they are read on. Whoever adds an event
// waits only where the thread is far behind.
//
// A trace that cannot be written ends where that fails, with a warning: the run goes on without it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "io/disk.h"
#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "offload/trace/trace_file.h"

namespace mneme::offload {

class TraceWriter {
 public:
  // Backend and disk must outlive it. keep_bytes: as of TraceFile.
  TraceWriter(kernels::Backend& backend, io::Disk& disk, const std::string& path,
              const TraceHeader& header, std::uint64_t keep_bytes);
  // Writes what was added.
  ~TraceWriter();
  TraceWriter(const TraceWriter&) = delete;
  TraceWriter& operator=(const TraceWriter&) = delete;

  void add(TraceEvent event);
  // The same with a list in device memory, [count], as work that is queued on `stream` up to now
  // leaves it. Later work there may change it.
  void add(TraceEvent event, kernels::Stream& stream, const std::uint32_t* list,
           std::int64_t count);
  // A checkpoint begins after `steps` steps: a run that goes on from it keeps the trace up to here.
  void add_checkpoint(std::uint64_t steps);
  // Waits until all that was added is with the system.
  void flush();

 private:
  static constexpr std::int64_t kPieceEntries = std::int64_t{1} << 17;
  static constexpr std::size_t kPieces = 8;
  static constexpr std::size_t kMostQueued = 4096;
  static constexpr std::size_t kFrameBytes = std::size_t{1} << 20;
  static constexpr auto kFrameTime = std::chrono::seconds(1);

  // A part of a list, on its way from the device.
  struct Piece {
    std::uint32_t* entries = nullptr;  // pinned host, [kPieceEntries]
    std::unique_ptr<kernels::Event> arrived;
  };
  // What the thread does next: takes an event, then the pieces of its list.
  struct Job {
    std::optional<TraceEvent> event;
    std::int64_t listed = 0;  // entries of its list that come in pieces
    std::size_t piece = kPieces;
    std::int64_t entries = 0;  // of the piece
    bool ends_frame = false;
  };

  void push(Job job);
  std::size_t free_piece();
  void run();
  void work(Job& job);
  void take(const TraceEvent& event);
  void end_frame(std::optional<std::uint64_t> checkpoint);

  kernels::Backend& backend_;
  // Of the thread.
  TraceFile file_;
  TraceLists lists_;
  std::vector<std::byte> events_;   // of the frame
  std::optional<TraceEvent> open_;  // its list is not complete
  std::int64_t to_come_ = 0;        // entries of that list
  std::chrono::steady_clock::time_point framed_;

  kernels::DeviceArray<std::uint32_t> memory_;  // of the pieces; pinned host
  Piece pieces_[kPieces];

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::vector<std::size_t> free_;  // pieces
  bool is_working_ = false, stops_ = false, has_failed_ = false;
  std::thread thread_;
};

}  // namespace mneme::offload
