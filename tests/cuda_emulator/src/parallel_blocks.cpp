#include "tests/cuda_emulator/src/parallel_blocks.h"

#include <tbb/blocked_range.h>
#include <tbb/info.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>

#include "tests/cuda_emulator/src/race_notes.h"

namespace emulator {
namespace {

// A grid of fewer threads is quicker on one.
constexpr std::uint64_t kFewThreads = 512;

// More would mostly cost memory: every one may have 1,024 stacks.
int thread_limit() {
#if defined(MNEME_TSAN)
  constexpr int kMost = 2;  // ThreadSanitizer gets slow with many stacks, and knows about 8,000.
#else
  constexpr int kMost = 8;
#endif
  return std::clamp(tbb::info::default_concurrency(), 1, kMost);
}

// An arena of its own: a thread that waits for blocks may not take up other work of the program,
// which might start a kernel.
struct Machine {
  Machine() : arena(thread_limit()), runners(static_cast<std::size_t>(thread_limit())) {
    for (auto& runner : runners) runner = std::make_unique<BlockRunner>();
  }
  tbb::task_arena arena;
  std::vector<std::unique_ptr<BlockRunner>> runners;  // by the thread's index in the arena
};

}  // namespace

void run_grid(const Grid& grid) {
  static Machine machine;
  const std::uint64_t blocks = std::uint64_t{grid.blocks.x} * grid.blocks.y * grid.blocks.z;
  const std::uint64_t threads = std::uint64_t{grid.threads.x} * grid.threads.y * grid.threads.z;
  const auto run = [&](std::uint64_t begin, std::uint64_t end) {
    BlockRunner& runner = *machine.runners[tbb::this_task_arena::current_thread_index()];
    note_acquire(&machine);
    runner.run(grid, begin, end);
    note_release(&machine);
  };
  note_release(&machine);
  machine.arena.execute([&] {
    if (blocks == 1 || blocks * threads <= kFewThreads) {
      run(0, blocks);
      return;
    }
    tbb::parallel_for(tbb::blocked_range<std::uint64_t>(0, blocks),
                      [&](const auto& range) { run(range.begin(), range.end()); });
  });
  note_acquire(&machine);
}

}  // namespace emulator
