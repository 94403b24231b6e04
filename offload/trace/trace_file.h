// A trace as a file: a header, then frames of events, each compressed and sealed by a checksum. A
// frame is read by itself. A process that dies leaves whole frames, and maybe a piece of one, which
// counts as not written. docs/formats.md, "Trace file", has the bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/disk.h"
#include "io/sequential_file.h"
#include "offload/trace/trace_events.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace mneme::offload {

// The table that was traced.
struct TraceHeader {
  std::uint32_t table = 0;
  std::uint64_t rows = 0, run_id = 0, seed = 0;
  bool operator==(const TraceHeader&) const = default;
};

class TraceFile {
 public:
  // Opens the file behind its first keep_bytes bytes, or makes it where that is 0. The disk must
  // outlive it. Throws Error.
  TraceFile(io::Disk& disk, const std::string& path, const TraceHeader& header,
            std::uint64_t keep_bytes);
  ~TraceFile();

  // events: encoded, with lists of their own. checkpoint: the steps that are complete, where a
  // checkpoint begins behind the frame: a run that goes on from it goes on here. It is durable
  // then.
  void append(std::span<const std::byte> events, std::optional<std::uint64_t> checkpoint);

 private:
  struct Free {
    void operator()(ZSTD_CCtx_s* context) const;
  };
  std::unique_ptr<io::AppendFile> file_;
  std::unique_ptr<ZSTD_CCtx_s, Free> context_;
  std::vector<std::byte> packed_;  // a frame
};

// Reads a trace from front to back. Throws Error for what is no trace, one of another version, and
// one that is damaged, with the place.
class TraceReader {
 public:
  TraceReader(io::Disk& disk, const std::string& path);
  ~TraceReader();

  const TraceHeader& header() const { return header_; }
  // Of version 1 the parts of a lease are leases of their own, and those of an update are taken
  // for dirty.
  std::uint32_t version() const { return version_; }
  // False at the end.
  bool next(TraceEvent& event);

  // ---- Of what was read so far.
  // Whether the file ends within a frame: its process died, or writes at this moment.
  bool is_cut() const { return is_cut_; }
  std::uint64_t frames() const { return frames_; }
  std::uint64_t event_bytes() const { return event_bytes_; }  // before they were compressed
  std::uint64_t file_bytes() const { return file_->size_bytes(); }
  // Where the last frame ends, and what it says of a checkpoint.
  std::uint64_t position() const { return position_; }
  const std::optional<std::uint64_t>& checkpoint() const { return checkpoint_; }
  // The next frame, its events left out; false at the end.
  bool next_frame();

 private:
  struct Free {
    void operator()(ZSTD_DCtx_s* context) const;
  };
  [[noreturn]] void fail_damaged(const std::string& what) const;

  std::string path_;
  std::unique_ptr<io::SequentialReader> file_;
  std::unique_ptr<ZSTD_DCtx_s, Free> context_;
  TraceHeader header_;
  std::uint32_t version_ = 0;
  std::vector<std::byte> packed_, events_;
  std::span<const std::byte> left_;  // of events_
  TraceLists lists_;
  std::uint64_t position_ = 0, frames_ = 0, event_bytes_ = 0;
  std::optional<std::uint64_t> checkpoint_;
  bool is_cut_ = false;
};

// Whether a file is a trace of the run, or the beginning of one that did not come to its header.
bool is_trace_of(io::Disk& disk, const std::string& path, std::uint64_t run_id);

// How many bytes of a trace a run keeps that goes on from the checkpoint after `steps` steps;
// nothing where there is no trace of this table, or it knows no such checkpoint.
std::optional<std::uint64_t> trace_bytes_until(io::Disk& disk, const std::string& path,
                                               const TraceHeader& header, std::uint64_t steps);

}  // namespace mneme::offload
