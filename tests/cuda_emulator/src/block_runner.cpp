#include "tests/cuda_emulator/src/block_runner.h"

#include <bit>

#include <emulator/intrinsics.h>
#include <emulator/language.h>
#include "tests/cuda_emulator/src/errors.h"
#include "tests/cuda_emulator/src/race_notes.h"
#include "tests/cuda_emulator/src/report.h"
#include "tests/cuda_emulator/src/seed.h"

constinit thread_local uint3 threadIdx{};
constinit thread_local uint3 blockIdx{};
constinit thread_local dim3 blockDim{0, 0, 0};
constinit thread_local dim3 gridDim{0, 0, 0};

namespace emulator {
namespace {

// ThreadSanitizer sees what two threads do as ordered if one worker runs both.
#if defined(MNEME_TSAN)
constexpr bool kWorkerPerThread = true;
#else
constexpr bool kWorkerPerThread = false;
#endif

constinit thread_local BlockRunner* current_runner = nullptr;

// Unwinds a kernel thread.
struct Trap {};

// A lane of the set, with some luck.
unsigned pick(unsigned set, std::uint32_t random) {
  const int rotation = static_cast<int>(random % kWarpLanes);
  return (std::countr_zero(std::rotr(set, rotation)) + rotation) % kWarpLanes;
}

// Workers may run on another operating-system thread in the next block, so the addresses of these
// thread-locals must not be kept: never inlined.
[[gnu::noinline]] void set_thread_index(uint3 index) {
  threadIdx = index;
}

[[gnu::noinline]] void set_block(BlockRunner* runner, const Grid& grid, std::uint64_t block) {
  current_runner = runner;
  gridDim = grid.blocks;
  blockDim = grid.threads;
  const std::uint64_t row = block / grid.blocks.x;
  blockIdx = {static_cast<unsigned>(block % grid.blocks.x),
              static_cast<unsigned>(row % grid.blocks.y),
              static_cast<unsigned>(row / grid.blocks.y)};
}

[[gnu::noinline]] void clear_block() {
  current_runner = nullptr;
  gridDim = blockDim = dim3(0, 0, 0);
  threadIdx = blockIdx = {};
}

}  // namespace

BlockRunner::Worker::Worker(BlockRunner* owner) : runner(owner), fiber(&BlockRunner::work, this) {}

BlockRunner::BlockRunner() {
  workers_.reserve(kMaxThreads);
  idle_.reserve(kMaxThreads);
  finished_.reserve(kMaxThreads);
}

BlockRunner::~BlockRunner() {
  ending_ = true;
  for (const auto& worker : workers_) outside_.switch_to(worker->fiber);
}

BlockRunner& BlockRunner::current(const char* caller) {
  if (current_runner == nullptr) die("%s was called outside of a kernel", caller);
  return *current_runner;
}

void BlockRunner::run(const Grid& grid, std::uint64_t begin, std::uint64_t end) {
  shared_variables_.before_blocks();
  for (std::uint64_t block = begin; block < end; ++block) {
    run_block(grid, block);
    shared_variables_.after_block(block == begin);
  }
  if (end - begin > 1) shared_variables_.after_blocks();
}

void BlockRunner::run_block(const Grid& grid, std::uint64_t block) {
  prepare(grid, block);
  set_block(this, grid, block);
  const unsigned thread = static_cast<unsigned>(next_thread());
  Worker& worker = idle_worker();
  worker.thread = thread;
  start(worker);
  running_ = &worker;
  note_release(&block_start_);
  outside_.switch_to(worker.fiber);
  note_acquire(&block_end_);
  running_ = nullptr;
  idle_.insert(idle_.end(), finished_.begin(), finished_.end());
  finished_.clear();
  clear_block();
  if (!shared_.intact()) {
    die("block %llu wrote behind the end of its dynamic shared memory",
        static_cast<unsigned long long>(block));
  }
}

void BlockRunner::prepare(const Grid& grid, std::uint64_t block) {
  grid_ = grid;
  block_ = block;
  const dim3 threads = grid.threads;
  thread_count_ = threads.x * threads.y * threads.z;
  if (indexed_for_.x != threads.x || indexed_for_.y != threads.y || indexed_for_.z != threads.z) {
    thread_index_.clear();
    for (unsigned z = 0; z < threads.z; ++z) {
      for (unsigned y = 0; y < threads.y; ++y) {
        for (unsigned x = 0; x < threads.x; ++x) thread_index_.push_back({x, y, z});
      }
    }
    indexed_for_ = threads;
  }
  warp_count_ = (thread_count_ + kWarpLanes - 1) / kWarpLanes;
  for (unsigned i = 0; i < warp_count_; ++i) {
    const unsigned lanes = thread_count_ - i * kWarpLanes;
    Warp& warp = warps_[i];
    warp.unstarted = lanes < kWarpLanes ? bit(lanes) - 1 : ~0u;
    warp.exited = ~warp.unstarted;
    warp.ready = warp.in_collective = warp.at_barrier = 0;
  }
  ready_warps_ = warp_count_ < 32 ? bit(warp_count_) - 1 : ~0u;
  random_state_ = mix(grid.seed + mix(block + 1)) | 1;
  warp_ = random() % warp_count_;
  exited_ = 0;
  barrier_arrived_ = barrier_true_ = 0;
  shared_.prepare(grid.dynamic_bytes);
}

std::uint32_t BlockRunner::random() {
  random_state_ ^= random_state_ << 13;
  random_state_ ^= random_state_ >> 7;
  random_state_ ^= random_state_ << 17;
  return static_cast<std::uint32_t>(random_state_ >> 32);
}

// A worker's life: one kernel thread after the other.
void BlockRunner::work(void* context) {
  Worker& worker = *static_cast<Worker*>(context);
  BlockRunner& runner = *worker.runner;
  while (!runner.ending_) {
    note_acquire(&runner.block_start_);
    try {
      (*runner.grid_.thread)();
    } catch (const Trap&) {
      fail_device(cudaErrorLaunchFailure, "a kernel's thread has trapped");
    }
    note_release(&runner.block_end_);
    runner.leave_thread(worker);
  }
}

// After the worker's kernel thread has returned: gives the worker another thread, or lets others
// run until somebody does.
void BlockRunner::leave_thread(Worker& worker) {
  Warp& warp = warps_[worker.thread / kWarpLanes];
  const unsigned lane = worker.thread % kWarpLanes;
  warp.exited |= bit(lane);
  ++exited_;
  // Whoever waited for this lane alone may go on.
  for (unsigned left = warp.in_collective; left != 0;) {
    const unsigned mask = warp.masks[std::countr_zero(left)];
    left &= ~mask;
    if ((mask & bit(lane)) != 0) finish_collective(warp, mask);
  }
  finish_barrier_if_complete();

  const int next = next_thread();
  if (next < 0) {
    if (exited_ != thread_count_) die_stuck();
    finished_.push_back(&worker);
    worker.fiber.switch_to(outside_);
    return;
  }
  const unsigned thread = static_cast<unsigned>(next);
  const bool is_new = is_unstarted(thread);
  if (is_new && !kWorkerPerThread) {
    worker.thread = thread;
    start(worker);
    return;
  }
  (kWorkerPerThread ? finished_ : idle_).push_back(&worker);
  if (is_new) {
    start_on_another(thread);
  } else {
    resume(thread);
  }
}

bool BlockRunner::is_unstarted(unsigned thread) const {
  return (warps_[thread / kWarpLanes].unstarted & bit(thread % kWarpLanes)) != 0;
}

void BlockRunner::start_on_another(unsigned thread) {
  Worker& worker = idle_worker();
  worker.thread = thread;
  start(worker);
  enter(worker);
}

// Takes the worker's thread out of those that have not started.
void BlockRunner::start(Worker& worker) {
  Warp& warp = warps_[worker.thread / kWarpLanes];
  warp.unstarted &= ~bit(worker.thread % kWarpLanes);
  if ((warp.unstarted | warp.ready) == 0) ready_warps_ &= ~bit(worker.thread / kWarpLanes);
  set_thread_index(thread_index_[worker.thread]);
}

BlockRunner::Worker& BlockRunner::idle_worker() {
  if (idle_.empty()) {
    workers_.push_back(std::make_unique<Worker>(this));
    return *workers_.back();
  }
  Worker* worker = idle_.back();
  idle_.pop_back();
  return *worker;
}

// The thread that runs next, -1 if none can.
int BlockRunner::next_thread() {
  if (ready_warps_ == 0) return -1;
  const std::uint32_t number = random();
  // Now and then another warp goes first, so that warps overtake each other everywhere.
  const bool stay = (ready_warps_ & bit(warp_)) != 0 && (number >> 28) != 0;
  if (!stay) warp_ = pick(ready_warps_, number >> 8);
  const Warp& warp = warps_[warp_];
  return static_cast<int>(warp_ * kWarpLanes + pick(warp.unstarted | warp.ready, number));
}

// Enters a thread that has waited and may go on.
void BlockRunner::resume(unsigned thread) {
  Warp& warp = warps_[thread / kWarpLanes];
  warp.ready &= ~bit(thread % kWarpLanes);
  if ((warp.unstarted | warp.ready) == 0) ready_warps_ &= ~bit(thread / kWarpLanes);
  set_thread_index(thread_index_[thread]);
  enter(*warp.workers[thread % kWarpLanes]);
}

// Leaves the running worker for another one, until somebody enters it again.
void BlockRunner::enter(Worker& worker) {
  Worker* const left = running_;
  running_ = &worker;
  left->fiber.switch_to(worker.fiber);
}

// Lets others run until the running thread, which its warp has down as waiting, may go on.
void BlockRunner::wait(Warp& warp) {
  warp.workers[lane()] = running_;
  const int next = next_thread();
  if (next < 0) die_stuck();
  const unsigned thread = static_cast<unsigned>(next);
  if (is_unstarted(thread)) {
    start_on_another(thread);
  } else {
    resume(thread);
  }
}

}  // namespace emulator

void __trap() {
  throw emulator::Trap();
}
