// The cold tier: record slots on a disk file, read and written through registered staging buffers.
//
// Reads and writes are asynchronous and bounded: staging buffers are the only memory that I/O
// touches, and where none is free the caller waits. A record in a write buffer is a snapshot; its
// memory is reused only after the completion. A failed write or sync stops the tier for good: the
// last committed checkpoint is intact, and reopening from it is the way on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "io/record_file.h"
#include "kernels/backend.h"
#include "offload/counters.h"
#include "offload/slot_allocator.h"

namespace mneme::offload {

struct DiskTierOptions {
  std::string path;
  std::uint32_t record_bytes = 0;
  std::uint64_t table_id = 0;
  std::uint64_t limit_bytes = 0;  // 0: none
  io::OpenOptions open;
};

// A finished read: the record's bytes stay valid until release_read.
struct FinishedRead {
  std::uint32_t buffer = 0;
  kernels::RowId row = 0;
};

class DiskTier {
 public:
  DiskTier(kernels::Backend& backend, io::Disk& disk, DiskTierOptions options);
  ~DiskTier();

  // --- Writing. A row's record goes to a fresh slot in three calls.
  // A free write buffer; waits for completions when there is none.
  std::uint32_t stage_write(StepCounters& counters);
  std::byte* write_payload(std::uint32_t buffer);
  // Seals the buffer as the row's new record, queues it, frees the slot `previous` that it
  // supersedes. Returns the new slot. Throws Error on a full disk, before anything changes.
  std::uint32_t submit_write(std::uint32_t buffer, kernels::RowId row,
                             std::optional<std::uint32_t> previous, StepCounters& counters);
  // Whether there is a slot for one more record, now that the file has grown as far as it needs to.
  bool reserve_slot();
  // Waits until every record that was submitted is in the file; not for its durability.
  void finish_writes();
  // Whether there is a rows file, or may be one.
  bool has_file() const { return !options_.path.empty(); }
  // The row has no use for its slot any more. REQUIRES no read of it is on its way.
  void discard(std::uint32_t slot);
  std::uint32_t write_buffers() const { return write_buffers_; }
  // The payloads of the staging buffers, reads' and writes', by buffer.
  kernels::HostRecords staging() const;

  // --- Reading.
  // Queues the read of a row's record; false when no read buffer is free.
  bool start_read(kernels::RowId row, std::uint32_t slot, StepCounters& counters);
  // The next verified record, in order of arrival; waits for it when asked and one is on its way.
  // Throws Error naming row, slot and file when a record does not verify.
  std::optional<FinishedRead> finished_read(bool wait, StepCounters& counters);
  const std::byte* read_payload(std::uint32_t buffer) const;
  void release_read(std::uint32_t buffer);
  std::uint32_t read_buffers() const { return read_buffers_; }

  // --- Durability.
  // Waits for all writes and makes them durable.
  void sync(StepCounters& counters);
  SlotAllocator& slots() { return slots_; }
  std::uint64_t generation(std::uint32_t slot) const { return generations_[slot]; }
  std::uint64_t next_generation() const { return next_generation_; }
  // Opens the existing file with these tables, oldest first; kept[current] is the one in force.
  void restore(const std::vector<const CheckpointTable*>& kept, std::size_t current);

  bool is_open() const { return file_.has_value(); }
  std::uint64_t file_bytes() const { return file_ ? file_->file().size_bytes() : 0; }
  std::uint32_t slot_bytes() const { return file_ ? file_->slot_bytes() : 0; }
  std::uint64_t io_retries() const { return file_ ? file_->file().counters().retries : 0; }

 private:
  enum class BufferState : std::uint8_t { kFree, kStaged, kInFlight, kReady };
  struct StagingBuffer {
    BufferState state = BufferState::kFree;
    kernels::RowId row = 0;
    std::uint32_t slot = 0;
    bool is_write = false;
  };

  void ensure_open();
  void allocate_staging();
  void require_running() const;
  // Hands finished transfers to their buffers; with `wait` blocks for at least one.
  void pump(bool wait);
  void complete(std::uint32_t buffer, int error);
  void submit(std::uint32_t buffer);
  std::byte* buffer_data(std::uint32_t buffer) const;
  void verify(std::uint32_t buffer) const;
  void reserve_for(std::uint64_t slots);

  kernels::Backend& backend_;
  io::Disk& disk_;
  DiskTierOptions options_;
  kernels::Buffer staging_;  // must outlive the file, whose transfers use it
  std::optional<io::RecordFile> file_;
  std::uint32_t read_buffers_ = 0;
  std::uint32_t write_buffers_ = 0;
  std::vector<StagingBuffer> buffers_;  // reads first, then writes
  std::vector<std::uint32_t> free_reads_;
  std::vector<std::uint32_t> free_writes_;
  std::deque<std::uint32_t> ready_reads_;
  std::uint32_t reads_in_flight_ = 0;
  std::uint32_t writes_in_flight_ = 0;
  // Writes that have not completed: slot -> buffer, bounded by write_buffers_. A record wanted back
  // meanwhile is served from here.
  std::unordered_map<std::uint32_t, std::uint32_t> writing_;
  std::unordered_set<std::uint32_t> superseded_in_flight_;

  SlotAllocator slots_;
  std::vector<std::uint64_t> generations_;  // by slot
  std::uint64_t next_generation_ = 1;
  std::string failure_;  // non-empty: the tier has stopped
};

}  // namespace mneme::offload
