#include "kernels/cpu/worker_threads.h"

#include <tbb/info.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "io/errno_text.h"
#include "io/error.h"
#include "kernels/cpu/parallel.h"

namespace mneme::kernels::cpu {
namespace {

// Threads that another arena keeps busy do not come; nothing depends on them.
constexpr auto kPatience = std::chrono::seconds(1);

// Where threads wait until `expected` have come.
class Gate {
 public:
  explicit Gate(int expected) : missing_(expected) {}

  void arrive() {
    std::unique_lock lock(mutex_);
    if (--missing_ <= 0) changed_.notify_all();
    changed_.wait_for(lock, kPatience, [this] { return missing_ <= 0; });
  }
  // Lets all go that have come.
  void open() {
    const std::lock_guard lock(mutex_);
    missing_ = 0;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int missing_;
};

// Starts as many threads as TBB will, and ends them. Theirs have stacks of at most this size.
void try_threads(int count) {
  Gate gate(count);
  std::vector<std::thread> threads;
  int error = 0;
  threads.reserve(static_cast<std::size_t>(count));
  try {
    for (int i = 0; i < count; ++i) threads.emplace_back([&gate] { gate.arrive(); });
  } catch (const std::system_error& refused) {
    error = refused.code().value();
    gate.open();
  }
  for (std::thread& thread : threads) thread.join();
  if (error != 0) {
    io::fail(
        "cannot start {} threads: {}; lower run.threads or raise the limits (ulimit -u, ulimit -v)",
        count, io::errno_text(error));
  }
}

}  // namespace

WorkerThreads::WorkerThreads(int threads) : arena_(threads, 1) {
  if (threads == 1) return;
  try_threads(threads - 1);
  if (threads > tbb::info::default_concurrency()) {
    more_threads_.emplace(tbb::global_control::max_allowed_parallelism,
                          static_cast<std::size_t>(threads));
  }
  Gate gate(threads);
  arena_.execute([&] { parallel_tasks(threads, [&](std::int64_t) { gate.arrive(); }); });
}

}  // namespace mneme::kernels::cpu
