// Runs the blocks of a grid, one after the other, on the operating-system thread that calls it.
//
// A worker is a fiber that runs kernel threads. It goes on with the next thread by itself as long
// as threads end without waiting, so threads that never wait cost a call each. A thread that waits
// keeps its worker until it may go on; another worker takes over. Who comes next is pseudo-random,
// but mostly of the same warp, as most collectives are of warps. With ThreadSanitizer every thread
// of a block has a worker of its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <emulator/launch.h>
#include "tests/cuda_emulator/src/fiber.h"
#include "tests/cuda_emulator/src/shared_memory.h"
#include "tests/cuda_emulator/src/shared_variables.h"

namespace emulator {

inline constexpr unsigned kWarpLanes = 32;
inline constexpr unsigned kMaxThreads = 1024;

// The collectives' work: done once, by the last lane to arrive, for every lane of `active`.
// lane_data[i] is what lane i passed to collective(). `name` is for messages.
struct WarpOperation {
  const char* name;
  void (*run)(unsigned active, void* const* lane_data);
};

enum class BarrierKind { kSync, kCount, kAnd, kOr };

struct Grid {
  dim3 blocks;
  dim3 threads;
  std::size_t dynamic_bytes;
  const KernelThread* thread;
  std::uint64_t seed;
};

class BlockRunner {
 public:
  BlockRunner();
  ~BlockRunner();
  BlockRunner(const BlockRunner&) = delete;
  BlockRunner& operator=(const BlockRunner&) = delete;

  // The runner whose kernel thread calls; aborts outside of a kernel.
  static BlockRunner& current(const char* caller);

  // Runs the blocks [begin, end) of the grid.
  void run(const Grid& grid, std::uint64_t begin, std::uint64_t end);

  // ---- for the kernel thread that runs ----
  unsigned lane() const { return running_->thread % kWarpLanes; }
  unsigned live_lanes() const;
  void collective(unsigned mask, const WarpOperation& operation, void* data);
  int barrier(BarrierKind kind, bool predicate);
  void* dynamic_shared() { return shared_.data(); }

 private:
  // What a kernel thread runs on.
  struct Worker {
    explicit Worker(BlockRunner* owner);
    BlockRunner* const runner;
    unsigned thread = 0;  // the kernel thread it runs, or is to run when it is entered
    Fiber fiber;
  };
  // Sets of lanes. A lane is in one of the first five.
  struct Warp {
    unsigned unstarted = 0;
    unsigned ready = 0;  // waited and may go on
    unsigned in_collective = 0;
    unsigned at_barrier = 0;
    unsigned exited = 0;  // lanes that the block does not have are here as well
    std::array<unsigned, kWarpLanes> masks{};  // of the lanes in a collective
    std::array<const WarpOperation*, kWarpLanes> operations{};
    std::array<void*, kWarpLanes> data{};
    std::array<Worker*, kWarpLanes> workers{};  // of the lanes that wait or may go on
  };

  static constexpr unsigned bit(unsigned lane) { return 1u << lane; }
  static void work(void* worker);
  void run_block(const Grid& grid, std::uint64_t block);
  void prepare(const Grid& grid, std::uint64_t block);
  void leave_thread(Worker& worker);
  void wait(Warp& warp);
  void go_on(unsigned warp_index);
  bool finish_collective(Warp& warp, unsigned mask);
  void finish_barrier_if_complete();
  int next_thread();
  void enter(Worker& worker);
  void resume(unsigned thread);
  bool is_unstarted(unsigned thread) const;
  void start(Worker& worker);
  void start_on_another(unsigned thread);
  Worker& idle_worker();
  std::uint32_t random();
  [[noreturn]] void die_stuck() const;

  Grid grid_{};
  std::uint64_t block_ = 0;
  unsigned thread_count_ = 0;
  unsigned warp_count_ = 0;
  std::array<Warp, kMaxThreads / kWarpLanes> warps_{};
  unsigned ready_warps_ = 0;  // warps with lanes that are unstarted or ready
  unsigned warp_ = 0;         // of the thread chosen last
  unsigned exited_ = 0;       // threads
  std::uint64_t random_state_ = 1;

  unsigned barrier_arrived_ = 0;
  unsigned barrier_true_ = 0;
  BarrierKind barrier_kind_ = BarrierKind::kSync;
  int barrier_result_ = 0;
  unsigned barriers_ = 0;  // that all threads have arrived at
  // Places for note_release().
  char block_start_ = 0;
  char block_end_ = 0;
  char barrier_order_[2] = {};

  Worker* running_ = nullptr;
  Fiber outside_;  // of the thread that called run()
  bool ending_ = false;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<Worker*> idle_;
  std::vector<Worker*> finished_;  // idle from the next block on
  dim3 indexed_for_{0, 0, 0};
  std::vector<uint3> thread_index_;  // of the kernel threads, for blocks of indexed_for_
  SharedMemory shared_;
  SharedVariables shared_variables_;
};

}  // namespace emulator
