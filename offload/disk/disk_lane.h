// One rows file of a disk engine: its ring, its staging buffers, and the thread that works on them.
// The thread grows the file, seals records and writes them, reads records and verifies them. It
// never waits for whoever uses the engine, and goes on while that computes.
//
// Four queues, in the order of their priority, each with buffers and ring entries of its own, so
// that none takes what another needs:
//
//   demand      reads that a lease waits for. The record stays in its buffer until that is released
//   write-back  records that leave memory, from buffers that the caller has filled. Neighbours in
//               the file whose buffers are neighbours, too, go in one transfer
//   save        the same for records of a checkpoint, of which only a few are under way at once, so
//               that others find the disk free
//   hint        reads that nobody waits for yet. They start only when no demand read is there and
//               no record waits to be written back; hurried ones start at once. The record is
//               copied to the address that came with the hint
//
// It must never know which row has which slot, or why records move.
//
// A failure of a transfer, or a record that does not verify, stops the lane: nothing is read any
// more, and what waits to be written still is. A transfer that was asked for is started within one
// completion of those under way, since the thread sleeps in the ring.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "io/record_file.h"
#include "kernels/key_ops.h"
#include "offload/disk/busy_time.h"
#include "offload/disk/disk_latency.h"

namespace mneme::offload {

// What an error of a transfer says at its end.
inline constexpr const char* kStopped =
    "the store stopped there: make room or mend the disk, then resume from the last checkpoint";

// What the lanes of an engine and its user share. One user waits at a time.
struct DiskSignal {
  std::mutex mutex;
  std::condition_variable done;
  std::function<bool()> awaited;  // what the user waits for

  template <typename Predicate>
  void wait(std::unique_lock<std::mutex>& lock, Predicate predicate) {
    if (predicate()) return;
    awaited = std::ref(predicate);
    done.wait(lock, predicate);
    awaited = nullptr;
  }
  // Something has changed. The user is woken only when that is what it waits for.
  void tell() {
    if (awaited && awaited()) done.notify_all();
  }
};

// A record and where it is in the file.
struct RecordPlace {
  kernels::RowId row = 0;
  std::uint32_t slot = 0;
  std::uint64_t generation = 0;
  std::uint32_t index = 0;  // of a demand read: what the reader calls it
};

// A record that was read for a lease.
struct FinishedRead {
  std::uint32_t buffer = 0;  // the reader's until it is released
  std::uint32_t index = 0;
};

// What has happened to the read of a hint.
struct HintEvent {
  kernels::RowId row = 0;
  bool has_arrived = false;  // else: it was started
  std::uint32_t bytes = 0;   // that the disk was asked for
};

// Why records are written.
enum class WriteQueue : std::uint8_t { kWriteBack, kSave };
inline constexpr std::size_t kWriteQueues = 2;

// Buffers of each kind, in this order.
struct LaneBuffers {
  std::uint32_t reads = 0, hints = 0, write_back = 0, saves = 0;
  std::uint32_t all() const { return reads + hints + write_back + saves; }
};

class DiskLane {
 public:
  using File = std::optional<io::RecordFile>;
  using Job = std::function<void(File&)>;

  // path: for messages. depth: transfers of each queue under way at once.
  DiskLane(DiskSignal& signal, std::string path, std::uint32_t depth);
  // Writes what is queued and waits for what is under way.
  ~DiskLane();
  DiskLane(const DiskLane&) = delete;
  DiskLane& operator=(const DiskLane&) = delete;

  // All functions below REQUIRE that the caller holds signal.mutex.

  // What a job has come to; the asker's until then.
  struct JobResult {
    bool is_done = false;
    std::exception_ptr failure;
  };
  // Runs the job in the lane's thread, with the mutex free. idle: with nothing under way, and
  // nothing started before it has ended. result: null where nobody waits.
  void queue(Job job, bool idle, JobResult* result);
  // To be called when work was queued by the functions below.
  void wake() { work_.notify_one(); }
  // The staging buffers, one slot each and `stride` bytes apart, for an open file. `first`: the
  // number of the first one, as callers count them.
  void set_buffers(std::byte* memory, std::size_t stride, std::uint32_t first,
                   const LaneBuffers& buffers);

  // ---- Demand.
  bool takes_read() const { return demand_.size() < kMostQueued; }
  void read(const RecordPlace& place);
  std::vector<FinishedRead>& arrived() { return arrived_; }
  // Whether a read will be added to them though nobody releases a buffer.
  bool reads_are_due() const {
    return demand_flying_ > 0 || (!demand_.empty() && !free_reads_.empty());
  }
  void release_read(std::uint32_t buffer);
  // What the disk was asked for, since the start.
  std::uint64_t demand_rows() const { return demand_rows_; }
  std::uint64_t demand_bytes() const { return demand_bytes_; }

  // ---- Write-back and saves. Buffers of a queue are handed out in turn.
  // To be waited for: where many are on their way to the disk, they are waited for together.
  bool has_write_buffers(WriteQueue queue) const;
  // How many are not taken; 0 when the next in turn is.
  std::uint32_t free_write_buffers(WriteQueue queue) const;
  // REQUIRES free_write_buffers() > 0.
  std::uint32_t take_write_buffer(WriteQueue queue);
  void return_write_buffer(std::uint32_t buffer);
  // Where the record that comes into a buffer will be.
  void assign(std::uint32_t buffer, const RecordPlace& place);
  const RecordPlace& place_of(std::uint32_t buffer) const {
    return buffers_[buffer - first_].place;
  }
  // It is there: it can be read from now on, and goes to the file by whichever queue the buffer is
  // of. REQUIRES assign().
  void write(std::uint32_t buffer);
  WriteQueue queue_of(std::uint32_t buffer) const;
  bool writes_are_due(WriteQueue queue) const { return writes(queue).are_due(); }
  bool writes_are_due() const {
    return writes_are_due(WriteQueue::kWriteBack) || writes_are_due(WriteQueue::kSave);
  }
  // Slots whose write is over.
  std::vector<std::uint32_t>& written() { return written_; }

  // ---- Hints.
  void hint(const RecordPlace& place, std::byte* target);
  // The next one to read if it waits still.
  void hurry(kernels::RowId row);
  // False when it is being read already: it will arrive.
  bool cancel(kernels::RowId row);
  std::vector<HintEvent>& hint_events() { return hint_events_; }

  const std::string& failure() const { return failure_; }
  void fail(std::string message);
  bool is_quiet() const {
    return demand_flying_ + hint_flying_ == 0 && writes_[0].flying == 0 && writes_[1].flying == 0;
  }
  // For its sync(), which is for any thread. REQUIRES: the file is open, and stays so.
  io::BlockFile& file() { return file_->file(); }

  // Of the file, when the last job had run.
  std::uint64_t capacity_slots() const { return capacity_slots_; }
  std::uint64_t file_bytes() const { return file_bytes_; }
  std::uint32_t slot_bytes() const { return slot_bytes_; }
  std::uint64_t retries() const { return retries_; }
  // Time in which transfers were under way, since the start.
  std::uint64_t demand_us() const { return demand_time_.us(); }
  std::uint64_t write_us(WriteQueue queue) const { return writes(queue).time.us(); }
  std::uint64_t hint_us() const { return hint_time_.us(); }
  // Of the transfers that came through since the last call.
  DiskLatencies take_latencies() { return std::exchange(latencies_, {}); }

 private:
  static constexpr std::size_t kMostQueued = 4096;

  using Clock = std::chrono::steady_clock;
  enum class Kind : std::uint8_t { kRead, kHint, kWriteBack, kSave };  // as DiskQueue
  static constexpr std::size_t kKinds = kDiskQueues;
  static bool is_write(Kind kind) { return kind == Kind::kWriteBack || kind == Kind::kSave; }
  struct Buffer {
    Kind kind = Kind::kRead;
    bool is_taken = false;
    RecordPlace place;
    std::byte* target = nullptr;  // of a hint
    std::uint32_t run = 1;        // of a write: records in its transfer
    Clock::time_point started{};  // when the system got the transfer
  };
  // A transfer that the thread is to start.
  struct Start {
    std::uint32_t buffer = 0;
    std::optional<std::uint32_t> copy_of;  // the buffer of a write that has the record
  };
  struct Finished {
    std::uint32_t buffer = 0;
    int error = 0;
    bool is_copy = false;
    std::uint64_t us = 0;  // of a transfer
  };
  struct HintRead {
    RecordPlace place;
    std::byte* target = nullptr;
    bool is_reading = false;
  };
  // Records to be written, and the buffers for them.
  struct Writes {
    std::uint32_t first = 0, count = 0;  // of the buffers
    std::uint32_t next = 0, free = 0;    // of them: the next to be handed out; those not taken
    std::deque<std::uint32_t> queue;     // buffers
    std::uint32_t flying = 0;            // transfers
    std::uint64_t flying_bytes = 0;
    BusyTime time;
    bool are_due() const { return !queue.empty() || flying > 0; }
  };
  struct Queued {
    Job job;
    bool idle = false;
    JobResult* result = nullptr;
  };

  // Reads that are not under way yet.
  void drop_reads();

  // ---- The thread.
  void work();
  bool has_job() const;
  void run_job(std::unique_lock<std::mutex>& lock);
  void choose();
  void choose_reads();
  void choose_writes(Kind kind, std::uint64_t most_bytes);
  void choose_hints(std::deque<kernels::RowId>& queue);
  std::uint32_t start_read(std::uint32_t buffer);
  void start(const Start& start);
  void collect();
  void land(const Finished& finished);
  void publish();
  void give_up(const std::exception& error);
  template <typename Text>
  void note(const Text& text);
  Writes& writes(WriteQueue queue) { return writes_[static_cast<std::size_t>(queue)]; }
  const Writes& writes(WriteQueue queue) const { return writes_[static_cast<std::size_t>(queue)]; }
  Writes& writes(Kind kind) { return writes_[kind == Kind::kSave ? 1 : 0]; }
  std::uint32_t& in_ring(Kind kind) { return in_ring_[static_cast<std::size_t>(kind)]; }
  std::byte* data(std::uint32_t buffer) const { return memory_ + std::size_t{buffer} * stride_; }
  void begin(std::uint32_t& flying, BusyTime& time) {
    if (flying++ == 0) time.start();
  }
  void end(std::uint32_t& flying, BusyTime& time, DiskQueue queue);

  DiskSignal& signal_;
  const std::string path_;
  const std::uint32_t depth_;

  // Under the mutex.
  std::condition_variable work_;
  bool is_stopping_ = false;
  std::deque<Queued> jobs_;
  std::deque<RecordPlace> demand_;
  std::array<Writes, kWriteQueues> writes_;
  std::deque<kernels::RowId> hints_, hurried_;  // rows that are not in hint_reads_ are skipped
  std::unordered_map<kernels::RowId, HintRead> hint_reads_;
  std::vector<Buffer> buffers_;
  std::vector<std::uint32_t> free_reads_, free_hints_;
  std::unordered_map<std::uint32_t, std::uint32_t> writing_;  // slot -> buffer, queued or under way
  std::vector<FinishedRead> arrived_;
  std::vector<std::uint32_t> written_;
  std::vector<HintEvent> hint_events_;
  std::uint32_t demand_flying_ = 0, hint_flying_ = 0;
  std::uint64_t demand_rows_ = 0, demand_bytes_ = 0;
  BusyTime demand_time_, hint_time_;
  DiskLatencies latencies_;
  std::uint64_t capacity_slots_ = 0, file_bytes_ = 0, retries_ = 0;
  std::uint32_t slot_bytes_ = 0;
  std::uint32_t first_ = 0;
  std::string failure_;

  // The thread's own.
  File file_;
  std::byte* memory_ = nullptr;
  std::size_t stride_ = 0;
  std::vector<Start> starts_;
  std::vector<Finished> finished_;
  std::array<std::uint32_t, kKinds> in_ring_ = {};
  std::string problem_;  // the first one

  std::thread thread_;
};

}  // namespace mneme::offload
