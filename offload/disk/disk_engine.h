// The disk engine: record slots in rows files, and which row has which slot (4 bytes a row of the
// table on the host; pages that were never written take no memory). A row in a tier of memory may
// have a slot here, too: its copy on disk, which is valid while the row is not dirty.
//
// It must never know where else rows are, or why they are read and written.
//
// There may be several files, on several disks: records go to the one whose writes are done first,
// and may differ in speed and size. Slots are numbered in turn over the files.
//
// Transfers, checksums and the growth of files are the work of threads of its own, one for each
// file (disk_lane.h). Requests go in with a priority; what has come is asked for, or waited for.
// Memory is bounded: transfers touch staging buffers alone, and where none is free the caller
// waits. A record in a write buffer is a snapshot, whose memory is reused after the completion
// only.
//
// A failed transfer or sync, or a damaged record, stops the engine for good: the next call of any
// function throws Error, which names row, slot and file. The last committed checkpoint is intact,
// and reopening from it is the way on.
//
// Threads: calls come from one thread at a time, but for those that say so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/record_file.h"
#include "kernels/backend.h"
#include "offload/disk/changed_rows.h"
#include "offload/disk/disk_lane.h"
#include "offload/disk/lazy_array.h"
#include "offload/disk/row_set.h"
#include "offload/disk/row_table.h"
#include "offload/disk/slot_allocator.h"

namespace mneme::offload {

// Of all write buffers of a file, where the records are small: enough for long runs of neighbours.
inline constexpr std::uint32_t kWriteBytes = std::uint32_t{4} << 20;
inline constexpr std::uint32_t kMostWriteBuffers = 1024;

struct DiskEngineOptions {
  std::vector<std::string> paths;  // of the rows files; none: nothing can go to the disk
  std::uint32_t record_bytes = 0;
  std::uint64_t table_id = 0;
  std::uint64_t table_rows = 0;
  std::uint64_t limit_bytes = 0;  // of all files together; 0: none
  std::uint64_t save_bytes = 0;   // buffers for a checkpoint's records, of all files together
  io::OpenOptions open;           // depth: transfers of each queue of a file under way at once
};

class DiskEngine {
 public:
  // The entries of a file's ring: each queue has its own.
  static std::uint32_t ring_depth(std::uint32_t depth);

  // Pinned memory that all files' buffers take, from the first transfer on. slot_bytes: of the
  // files.
  static std::uint64_t staging_bytes(const DiskEngineOptions& options, std::uint32_t slot_bytes);

  DiskEngine(kernels::Backend& backend, io::Disk& disk, DiskEngineOptions options);
  // Writes what was submitted.
  ~DiskEngine();

  // --- Writing. Rows' records go to fresh slots in three calls.
  // Free write buffers, at most write_batch() of them; waits for completions where there are none.
  void stage_writes(std::span<kernels::SlotId> buffers);
  std::byte* write_payload(std::uint32_t buffer) { return payload(buffer); }
  // The same for records of a checkpoint under way, as many as are free; how many. Waits only for
  // the files to be made.
  std::size_t stage_saves(std::span<kernels::SlotId> buffers);
  std::int64_t free_save_buffers() const;
  // Waits until some are free.
  void await_save_buffers();
  // Makes the buffers the rows' new records, queues them, frees the slots that they supersede. How
  // many: where the file has no room and cannot grow, the first ones. Rows that a checkpoint under
  // way waits for are that checkpoint's, by whichever buffers they come.
  std::size_t submit_writes(std::span<const kernels::SlotId> buffers,
                            std::span<const kernels::RowId> rows);
  // The same in two calls, for buffers that are not filled yet. assign_writes() gives the rows
  // their slots, and may exchange buffers; queue_writes() comes once the records are in them. Until
  // then the rows must not be read here: is_unready() says which.
  std::size_t assign_writes(std::span<kernels::SlotId> buffers,
                            std::span<const kernels::RowId> rows);
  void queue_writes(std::span<const kernels::SlotId> buffers);
  bool is_unready(kernels::RowId row) const {
    return unready_ > 0 && has_slot(row) && (flags(slot_of(row)) & kUnready) != 0;
  }
  // Makes room for one more record. Throws Error where there is none: why.
  void require_slot();
  // The most slots that the files may have; 0 for no limit. Makes the files where they are not
  // there yet: only then the size of a slot is known.
  std::uint64_t slot_limit();
  // Waits until every record that was submitted is in the file; not for its durability.
  void finish_writes();
  // Whether there is a rows file, or may be one.
  bool has_file() const { return !options_.paths.empty(); }
  // Gives up a row's slot, whose record is stale. REQUIRES no read of it is on its way.
  void give_up(kernels::RowId row);
  // Whether the row's slot would be free at once when a new record supersedes it.
  bool gives_up_slot(kernels::RowId row) const;
  // Write buffers that a caller may fill at a time while others are on their way.
  std::int64_t write_batch() const { return counts_.write_back / 2; }
  // All buffers for records of checkpoints.
  std::int64_t save_buffers() const {
    return std::int64_t{counts_.saves} * static_cast<std::int64_t>(stripes_.size());
  }
  // The payloads of the staging buffers, reads' and writes', by buffer.
  kernels::HostRecords staging() const;

  // --- Demand reads.
  // Queues reads of rows that have a record here, as many as the queue takes; how many. index: what
  // finished_reads() calls the first one; the others follow.
  std::size_t start_reads(std::span<const kernels::RowId> rows, std::uint32_t index);
  // Hands out verified records of those reads, in order of arrival, once `at_least` of them are
  // there, or all that will come unless buffers are released; how many.
  std::size_t finished_reads(std::span<FinishedRead> out, std::size_t at_least);
  void release_reads(std::span<const kernels::SlotId> buffers);
  // A read that has finished holds one.
  std::size_t read_buffers() const { return counts_.reads * stripes_.size(); }
  // Rows and bytes that the disk was asked for by such reads, since the start. A record that was
  // still on its way to the disk takes no bytes.
  struct Asked {
    std::uint64_t rows = 0, bytes = 0;
  };
  Asked asked() const;

  // --- Hints: reads that nobody waits for yet, of rows that have a record here.
  // targets: where each record goes, [record_bytes]; the engine's until the row has arrived.
  void hint(std::span<const kernels::RowId> rows, std::span<std::byte* const> targets);
  // These are read next, before what is not waited for.
  void hurry(std::span<const kernels::RowId> rows);
  // False when the row is being read already: it will arrive.
  bool cancel_hint(kernels::RowId row);
  // What has happened since the last call. Also of an engine that has stopped.
  std::vector<HintEvent> hint_events();
  // Waits for an event.
  void await_hint_event();

  // Makes the files, if there are to be any, ahead of their use: slot_bytes() is known then.
  void make_files();

  // --- A checkpoint, in the order of the calls.
  // Optional: makes the files, and the memory for a checkpoint's records, so that the first one
  // finds them there.
  void prepare_saves();
  // It holds the table as it is now, and for `rows` (distinct) the records that come for them next.
  // From now on the slots in it are not reused before it is released. What an earlier one that was
  // not committed still waited for is forgotten.
  void begin_save(std::span<const kernels::RowId> rows);
  // Rows whose records it waits for.
  std::uint64_t unsaved_rows() const { return unsaved_.count(); }
  bool is_unsaved(kernels::RowId row) const { return unsaved_.contains(row); }
  // Whether all its records are in the files.
  bool is_saved();
  // Makes everything durable that is in the files. From any thread.
  void sync();
  // How the row -> slot table of the checkpoint differs from that of the last committed one. Read
  // from any thread, one at a time, until the next commit() or begin_save(). REQUIRES is_saved().
  TableChanges changes();
  // It is durable.
  void commit(std::uint64_t epoch);
  void release(std::uint64_t epoch);
  std::uint64_t next_generation() const { return next_generation_; }
  // Opens the existing files with these tables, oldest first; kept[current] is the one in force.
  void restore(const std::vector<const CheckpointTable*>& kept, std::size_t current);

  // Where the rows' records are; rows without one are left out.
  std::vector<TableEntry> entries(std::span<const kernels::RowId> rows);

  // Of all files.
  std::uint64_t slots() const;
  std::uint64_t free_slots() const;
  std::uint64_t file_bytes() const { return sum(&DiskLane::file_bytes); }
  // Of the files the largest.
  std::uint32_t slot_bytes() const { return slot_bytes_; }
  // Time in which transfers of each queue were under way, since the start; of several disks, on the
  // one with the most.
  struct BusyTimes {
    std::uint64_t demand_us = 0, hint_us = 0, write_us = 0, save_us = 0;
  };
  BusyTimes busy_times() const;
  // Of the transfers of all files that came through since the last call.
  DiskLatencies take_latencies();
  std::uint64_t io_retries() const { return sum(&DiskLane::retries); }
  // Stops the engine for a failure of somebody else; waits until nothing is under way. What was
  // submitted is written.
  void stop(const std::string& failure);

 private:
  // What is under way with a slot.
  enum SlotFlag : std::uint8_t {
    kWriting = 1,           // its write has not completed
    kUnready = 2,           // ... and the record is not in its buffer yet
    kOfCheckpoint = 4,      // ... and it is a record of a checkpoint under way
    kSuperseded = 8,        // ... and it is of no use any more
    kSupersededBefore = 16  // the same, on that side of the seal
  };
  // A rows file and what is known of its slots.
  struct Stripe {
    std::string path;
    std::unique_ptr<DiskLane> lane;  // null: not open
    SlotAllocator slots;
    std::vector<std::uint64_t> generations;  // by slot
    std::vector<std::uint8_t> flags;         // by slot: SlotFlag
    std::uint64_t growing_to = 0;            // slots that the lane was asked for ahead of their use
    bool cannot_grow = false;
  };

  // `lock`, in all of them, holds the mutex.
  using Lock = std::unique_lock<std::mutex>;
  using MakeJob = std::function<DiskLane::Job(std::size_t)>;  // of the stripe's number
  void run_all(Lock& lock, const MakeJob& make_job, bool idle);
  void open(Lock& lock, const MakeJob& make_job);
  void close(Lock& lock);
  bool is_open() const { return slot_bytes_ > 0; }
  io::OpenOptions ring_options() const;
  void ensure_open(Lock& lock);
  void require_running() const;
  bool has_failed() const;
  // Over all lanes.
  std::uint64_t sum(std::uint64_t (DiskLane::*count)() const) const;
  bool any_writes_are_due() const;
  void wait_for_writes(Lock& lock);
  // Whether the file has a slot for one more record, now that it has grown as far as it needs to.
  bool find_slot(Stripe& stripe, Lock& lock);
  // The best of the stripes that have a write buffer for a record, by `has_buffer`; null: none.
  template <typename HasBuffer>
  Stripe* writable(WriteQueue queue, const HasBuffer& has_buffer);
  // The buffer's record in a buffer of a file that has room; nothing where none has.
  std::optional<std::uint32_t> with_room(std::uint32_t buffer, Lock& lock);
  void assign(std::uint32_t buffer, kernels::RowId row);
  void collect_written();
  // The row has no use for its slot any more.
  void discard(kernels::RowId row, SealSide side);
  SealSide side_of(kernels::RowId row) const {
    return unsaved_.contains(row) ? SealSide::kBefore : SealSide::kAfter;
  }
  std::size_t list_changes(std::uint64_t first, std::span<TableEntry> entries);
  bool has_slot(kernels::RowId row) const { return slot_of_row_[row] != 0; }
  // REQUIRES has_slot(row).
  std::uint32_t slot_of(kernels::RowId row) const { return slot_of_row_[row] - 1; }
  // Slot numbers, of all files and of one.
  std::size_t stripe_of(std::uint32_t slot) const { return slot % stripes_.size(); }
  std::uint32_t local(std::uint32_t slot) const {
    return slot / static_cast<std::uint32_t>(stripes_.size());
  }
  std::uint32_t global(std::size_t stripe, std::uint32_t slot) const {
    return static_cast<std::uint32_t>(slot * stripes_.size() + stripe);
  }
  std::uint64_t& generation(std::uint32_t slot) {
    return stripes_[stripe_of(slot)].generations[local(slot)];
  }
  std::uint8_t& flags(std::uint32_t slot) { return stripes_[stripe_of(slot)].flags[local(slot)]; }
  std::uint8_t flags(std::uint32_t slot) const {
    return stripes_[stripe_of(slot)].flags[local(slot)];
  }
  void restore_slots(std::size_t stripe, const std::vector<const CheckpointTable*>& kept,
                     std::size_t current);
  RecordPlace place_of(kernels::RowId row);
  DiskLane& lane_of(kernels::RowId row) { return *stripes_[stripe_of(slot_of(row))].lane; }
  Stripe& stripe_of_buffer(std::uint32_t buffer) { return stripes_[buffer / counts_.all()]; }
  std::byte* payload(std::uint32_t buffer) const {
    return staging_.as<std::byte>() + std::size_t{buffer} * slot_bytes_ +
           io::RecordFile::kPayloadOffset;
  }
  // The slots that the file gets when it has to hold `slots`.
  std::uint64_t with_growth(const Stripe& stripe, std::uint64_t slots) const;
  std::uint64_t bytes_of_others(const Stripe& stripe) const;
  void reserve_for(Stripe& stripe, std::uint64_t slots, Lock& lock);
  void grow_ahead(Stripe& stripe);

  kernels::Backend& backend_;
  io::Disk& disk_;
  DiskEngineOptions options_;
  LaneBuffers counts_;
  std::uint32_t slot_bytes_ = 0;  // 0: the files are not open
  kernels::Buffer staging_;       // must outlive the lanes, whose transfers use it

  LazyArray<std::uint32_t> slot_of_row_;  // slot + 1, 0 for none
  ChangedRows changed_;
  std::uint64_t next_generation_ = 1;
  std::uint64_t unready_ = 0;  // slots with kUnready
  // Of the checkpoint under way: its first generation, its slots that are being written, rows whose
  // records are still to come, and the slots in it of rows that have others by now.
  std::uint64_t save_generation_ = 0, saving_ = 0;
  RowSet unsaved_;
  std::unordered_map<kernels::RowId, std::uint32_t> moved_;

  mutable DiskSignal signal_;
  std::vector<Stripe> stripes_;
  std::string failure_;
};

}  // namespace mneme::offload
