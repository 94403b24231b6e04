// Work on many threads whose results come in the order of the input, in bounded memory.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "io/check.h"
#include "io/errno_text.h"
#include "io/error.h"

namespace mneme::text {

// One thread reads inputs, each worker has a thread of its own, and whoever owns the object takes
// the results. What a thread throws is thrown by next() at the place of its input: of several
// errors the first in the order of the input is seen. Inputs that are being worked on, or whose
// results wait, weigh no more than a limit together, but for a single one that is heavier.
template <typename Input, typename Output>
class OrderedPipeline {
 public:
  using Read = std::function<std::optional<Input>()>;  // nothing at the end
  using Work = std::function<Output(Input)>;
  struct Options {
    std::uint64_t most_weight = 1;
    std::function<std::uint64_t(const Input&)> weigh;
    std::stop_source stop;  // is asked to stop when the object goes: `read` looks at it
  };

  // Each of the workers is called by one thread. Throws Error when there are not so many threads.
  OrderedPipeline(Read read, std::vector<Work> workers, Options options)
      : read_(std::move(read)), workers_(std::move(workers)), options_(std::move(options)) {
    CHECK(!workers_.empty());
    try {
      threads_.reserve(workers_.size() + 1);
      threads_.emplace_back([this] { run_reader(); });
      for (const Work& work : workers_) {
        threads_.emplace_back([this, &work] { run_worker(work); });
      }
    } catch (const std::system_error& refused) {
      end();
      io::fail(
          "cannot start {} threads: {}; give fewer with --threads, or raise the limits (ulimit "
          "-u, ulimit -v)",
          workers_.size() + 1, io::errno_text(refused.code().value()));
    }
  }
  ~OrderedPipeline() { end(); }
  OrderedPipeline(const OrderedPipeline&) = delete;
  OrderedPipeline& operator=(const OrderedPipeline&) = delete;

  // Whether next() has something to say, after waiting so long for it at most.
  bool wait(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    return ready_.wait_for(lock, patience, [this] { return is_ready(); });
  }

  // The next result; nothing at the end. Nothing may follow an exception.
  std::optional<Output> next() {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [this] { return is_ready(); });
    if (jobs_.empty()) return std::nullopt;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    weight_ -= job.weight;
    room_.notify_one();
    lock.unlock();
    if (job.error) std::rethrow_exception(job.error);
    return std::move(job.output);
  }

 private:
  struct Job {
    std::optional<Input> input;
    std::optional<Output> output;
    std::exception_ptr error;
    std::uint64_t weight = 0;
    bool is_done = false;
  };

  bool is_ready() const { return jobs_.empty() ? is_read_ : jobs_.front().is_done; }

  void run_reader() {
    for (bool is_read = false; !is_read;) {
      Job job;
      try {
        job.input = read_();
        if (job.input) job.weight = options_.weigh(*job.input);
      } catch (...) {
        job.error = std::current_exception();
        job.is_done = true;
      }
      is_read = !job.input.has_value();
      std::unique_lock lock(mutex_);
      room_.wait(lock, [&] {
        return is_ending_ || weight_ == 0 || weight_ + job.weight <= options_.most_weight;
      });
      if (is_ending_) return;
      if (job.input || job.error) {
        weight_ += job.weight;
        jobs_.push_back(std::move(job));
        if (!is_read) waiting_.push_back(&jobs_.back());
      }
      is_read_ = is_read;
      work_.notify_one();
      ready_.notify_one();
    }
  }

  void run_worker(const Work& work) {
    std::unique_lock lock(mutex_);
    for (;;) {
      work_.wait(lock, [this] { return is_ending_ || !waiting_.empty(); });
      if (is_ending_) return;
      Job& job = *waiting_.front();  // a deque moves none when others come and go at its ends
      waiting_.pop_front();
      Input input = std::move(*job.input);
      job.input.reset();
      lock.unlock();
      std::optional<Output> output;
      std::exception_ptr error;
      try {
        output = work(std::move(input));
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      job.output = std::move(output);
      job.error = error;
      job.is_done = true;
      ready_.notify_one();
    }
  }

  void end() {
    options_.stop.request_stop();
    {
      const std::lock_guard lock(mutex_);
      is_ending_ = true;
    }
    work_.notify_all();
    room_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  Read read_;
  std::vector<Work> workers_;
  Options options_;
  std::mutex mutex_;
  std::condition_variable work_, room_, ready_;
  std::deque<Job> jobs_;      // in the order of the input
  std::deque<Job*> waiting_;  // of these, which nobody has begun
  std::uint64_t weight_ = 0;
  bool is_read_ = false;  // all of the input
  bool is_ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace mneme::text
