// A CPU stream is a worker thread that runs queued closures in order. Each closure runs inside the
// stream's TBB arena, so that its parallel loops use the backend's number of threads; two streams
// never steal each other's work.
//
// Work behind a failure is skipped, on the stream that failed and on every stream that waits for an
// event recorded behind it: what failed work should have written is never read. So each record of
// an event carries the failure that its stream had when it got there.
#pragma once

#include <tbb/task_arena.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/cpu/scratch.h"
#include "kernels/memory.h"

namespace mneme::kernels::cpu {

// Work that refers to an event keeps it alive: the destructor waits until none is queued.
// synchronize() and seconds_since() throw the failure that the last record carries.
class CpuEvent final : public Event {
 public:
  ~CpuEvent() override;
  double seconds_since(const Event& earlier) const override;
  bool reached() const override;
  void synchronize() override;

 private:
  friend class CpuStream;
  // One call of record(), by its number.
  struct Failure {
    std::uint64_t record = 0;
    std::exception_ptr error;
  };

  // The number of a new record, which reach() ends.
  std::uint64_t start_record();
  void reach(std::uint64_t record, std::exception_ptr error);
  // Blocks until the record is reached; throws the failure that it carries. Gives up a reference.
  void await(std::uint64_t record);
  // Null when the record's stream had not failed. REQUIRES the lock.
  std::exception_ptr failure_of(std::uint64_t record) const;
  // Whether a stream has still to reach the record. REQUIRES the lock.
  bool is_open(std::uint64_t record) const {
    return std::find(open_.begin(), open_.end(), record) != open_.end();
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t recorded_ = 0;  // record() calls
  // Those that no stream has reached. Streams that record one event reach it in any order.
  std::vector<std::uint64_t> open_;
  // Queued records and waits, and callers that wait.
  int references_ = 0;
  std::vector<Failure> failures_;  // of the last record and those that somebody still waits for
  std::chrono::steady_clock::time_point reached_at_;
};

class CpuStream;

// The living streams of one backend.
class StreamList {
 public:
  void add(CpuStream& stream);
  void remove(CpuStream& stream);
  // Blocks the caller until what is queued on every stream has run.
  void drain();

 private:
  std::mutex mutex_;  // held while draining, so that no stream goes meanwhile
  std::vector<CpuStream*> streams_;
};

class CpuStream final : public Stream {
 public:
  using Work = std::function<void(Scratch&)>;

  // backend and list must outlive the stream, which is in the list while it lives. zones: of the
  // backend's memory, looked at by synchronize(); null without.
  CpuStream(Backend& backend, StreamList& list, int threads, const GuardZones* zones);
  // Runs what is queued, then joins. An error that nobody synchronised for is logged.
  ~CpuStream() override;
  CpuStream(const CpuStream&) = delete;
  CpuStream& operator=(const CpuStream&) = delete;

  // Queues work; blocks while the queue is full. After work has thrown, or a wait has met an event
  // that carries a failure, later work is skipped until synchronize() has rethrown the exception.
  void enqueue(Work work);

  void record(Event& event) override;
  void wait(Event& event) override;
  void synchronize() override;
  void run_on_host(std::function<void()> work) override {
    enqueue([work = std::move(work)](Scratch&) { work(); });
  }
  // As synchronize(), but leaves the exception of failed work for synchronize() to throw.
  void drain();
  // Whether the calling thread is the worker of some stream.
  static bool on_worker();

  int threads() const { return threads_; }

 private:
  // Work, which runs in the arena, or an event to reach or to wait for, which may block.
  struct Item {
    Work work;
    CpuEvent* reached = nullptr;
    CpuEvent* awaited = nullptr;
    std::uint64_t record = 0;  // of the event
  };

  void push(Item item);
  bool pop(Item& item);
  void run();
  void run(Item& item);
  // inherited: the error came with an event.
  void finish(std::exception_ptr error, bool inherited);
  std::exception_ptr error();
  void wait_until_run(std::unique_lock<std::mutex>& lock);

  StreamList& list_;
  const int threads_;
  const GuardZones* const zones_;
  tbb::task_arena arena_;
  Scratch scratch_;

  std::mutex mutex_;
  std::condition_variable not_empty_, not_full_, idle_;
  std::vector<Item> ring_;               // bounded queue
  std::uint64_t pushed_ = 0;             // items ever queued
  std::uint64_t popped_ = 0;             // items ever taken out
  std::uint64_t finished_ = 0;           // items ever run
  std::atomic<std::uint64_t> ready_{0};  // pushed_, readable without the lock: to spin on
  bool worker_sleeps_ = false;
  bool stopping_ = false;
  std::exception_ptr error_;
  bool inherited_ = false;           // error_ came with an event: another stream tells of it, too
  std::atomic<bool> failed_{false};  // error_ is set
  std::thread worker_;               // last: starts when everything else is there
};

}  // namespace mneme::kernels::cpu
