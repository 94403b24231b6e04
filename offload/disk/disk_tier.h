// The cold tier: record slots on a disk file, read and written through registered staging buffers,
// and which row has which slot (4 bytes a row of the table on the host, pages that were never
// written take no memory). A row in a tier of memory may have a slot here, too: its copy on disk,
// which is valid while the row is not dirty.
//
// It must never know where else rows are, or why they are read and written.
//
// Reads and writes are asynchronous and bounded: staging buffers are the only memory that I/O
// touches, and where none is free the caller waits. A record in a write buffer is a snapshot; its
// memory is reused only after the completion. A failed write or sync stops the tier for good: the
// last committed checkpoint is intact, and reopening from it is the way on.
#pragma once

#include <array>
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
#include "offload/disk/busy_time.h"
#include "offload/disk/changed_rows.h"
#include "offload/disk/lazy_array.h"
#include "offload/disk/slot_allocator.h"

namespace mneme::offload {

struct DiskTierOptions {
  std::string path;
  std::uint32_t record_bytes = 0;
  std::uint64_t table_id = 0;
  std::uint64_t table_rows = 0;
  std::uint64_t limit_bytes = 0;  // 0: none
  io::OpenOptions open;
};

// Whom a read is for. Each gets its own back.
enum class ReadFor : std::uint8_t { kLease, kHint };

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
  std::uint32_t stage_write();
  std::byte* write_payload(std::uint32_t buffer);
  // Seals the buffer as the row's new record, queues it, frees the slot that it supersedes. Throws
  // Error on a full disk, before anything changes.
  void submit_write(std::uint32_t buffer, kernels::RowId row);
  // The most slots that the file may have; 0 for no limit. Makes the file where it is not there
  // yet: only then the size of a slot is known.
  std::uint64_t slot_limit();
  // Whether there is a slot for one more record, now that the file has grown as far as it needs to.
  bool reserve_slot();
  // Waits until every record that was submitted is in the file; not for its durability.
  void finish_writes();
  // Whether there is a rows file, or may be one.
  bool has_file() const { return !options_.path.empty(); }
  // Gives up a dirty row's slot, whose record is stale, where that was written before generation
  // `before`. REQUIRES no read of it is on its way.
  void give_up(kernels::RowId row, std::uint64_t before);
  // Whether the row's slot would be free at once when a new record supersedes it.
  bool gives_up_slot(kernels::RowId row) const;
  std::uint32_t write_buffers() const { return write_buffers_; }
  // The payloads of the staging buffers, reads' and writes', by buffer.
  kernels::HostRecords staging() const;

  // --- Reading.
  // Queues the read of a row's record. Returns the bytes that the disk is asked for: 0 where the
  // record is still on its way to the disk and taken from there; nothing when no read buffer is
  // free.
  std::optional<std::uint32_t> start_read(kernels::RowId row, ReadFor whom);
  // The next verified record of those reads, in order of arrival; waits for it when asked and one
  // is on its way. Throws Error naming row, slot and file when a record does not verify.
  std::optional<FinishedRead> finished_read(ReadFor whom, bool wait);
  const std::byte* read_payload(std::uint32_t buffer) const;
  void release_read(std::uint32_t buffer);
  std::uint32_t read_buffers() const { return read_buffers_; }

  // --- Durability.
  // Waits for all writes and makes them durable.
  void sync();
  // After a flush: how the row -> slot table differs from that of the last committed checkpoint;
  // from now on the slots in it are not reused before that is released.
  TableDelta seal();
  // The last seal belongs to a durable checkpoint.
  void commit(std::uint64_t epoch);
  void release(std::uint64_t epoch) { slots_.release(epoch); }
  std::uint64_t next_generation() const { return next_generation_; }
  // Opens the existing file with these tables, oldest first; kept[current] is the one in force.
  void restore(const std::vector<const CheckpointTable*>& kept, std::size_t current);

  std::uint64_t slots() const { return slots_.slots(); }
  std::uint64_t free_slots() const { return slots_.free_slots(); }
  std::uint64_t file_bytes() const { return file_ ? file_->file().size_bytes() : 0; }
  std::uint32_t slot_bytes() const { return file_ ? file_->slot_bytes() : 0; }
  // Time in which reads, or writes, were under way, since the start.
  std::uint64_t read_us() const { return reading_.us(); }
  std::uint64_t write_us() const { return writing_time_.us(); }
  std::uint64_t io_retries() const { return file_ ? file_->file().counters().retries : 0; }

 private:
  enum class BufferState : std::uint8_t { kFree, kStaged, kInFlight, kReady };
  struct StagingBuffer {
    BufferState state = BufferState::kFree;
    kernels::RowId row = 0;
    std::uint32_t slot = 0;
    bool is_write = false;
    ReadFor whom = ReadFor::kLease;
  };
  // Reads for one of the two.
  struct Reads {
    std::deque<std::uint32_t> ready;  // buffers, in order of arrival
    std::uint32_t in_flight = 0;
  };
  Reads& reads(ReadFor whom) { return reads_[static_cast<std::size_t>(whom)]; }
  std::uint32_t reads_in_flight() const { return reads_[0].in_flight + reads_[1].in_flight; }

  void ensure_open();
  void allocate_staging();
  void require_running() const;
  // Hands finished transfers to their buffers; with `wait` blocks for at least one.
  void pump(bool wait);
  void complete(std::uint32_t buffer, int error);
  void submit(std::uint32_t buffer);
  void discard(std::uint32_t slot);
  bool has_slot(kernels::RowId row) const { return slot_of_row_[row] != 0; }
  // REQUIRES has_slot(row).
  std::uint32_t slot_of(kernels::RowId row) const { return slot_of_row_[row] - 1; }
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
  std::array<Reads, 2> reads_;
  std::uint32_t writes_in_flight_ = 0;
  BusyTime reading_, writing_time_;
  // Writes that have not completed: slot -> buffer, bounded by write_buffers_. A record wanted back
  // meanwhile is served from here.
  std::unordered_map<std::uint32_t, std::uint32_t> writing_;
  std::unordered_set<std::uint32_t> superseded_in_flight_;

  LazyArray<std::uint32_t> slot_of_row_;  // slot + 1, 0 for none
  ChangedRows changed_;
  SlotAllocator slots_;
  std::vector<std::uint64_t> generations_;  // by slot
  std::uint64_t next_generation_ = 1;
  std::string failure_;  // non-empty: the tier has stopped
};

}  // namespace mneme::offload
