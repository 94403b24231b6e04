// Parallel loops whose results do not depend on the number of threads.
//
// A loop is cut into chunks of a size that the caller derives from shapes only; threads share the
// chunks in any order. What a chunk computes must depend on the chunk alone; sums across chunks are
// kept per chunk and added up in chunk order afterwards.
//
// Bodies may not start another parallel loop when they use thread_slot() memory: a thread that
// waits for an inner loop may run another chunk of the outer one.
#pragma once

#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <cstdint>

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace mneme::kernels::cpu {

// The index of the calling thread within the operation, in [0, CpuStream::threads()): for memory
// that a chunk needs while it runs.
inline int thread_slot() {
  return tbb::this_task_arena::current_thread_index();
}
// The number of distinct thread_slot() values.
inline int thread_slots() {
  return tbb::this_task_arena::max_concurrency();
}

inline std::int64_t chunk_count(std::int64_t count, std::int64_t chunk) {
  return (count + chunk - 1) / chunk;
}

// Calls body(index) for index in [0, count), in parallel.
template <typename Body>
void parallel_tasks(std::int64_t count, const Body& body) {
  if (count <= 1 || thread_slots() == 1) {
    for (std::int64_t i = 0; i < count; ++i) body(i);
    return;
  }
#if defined(__SANITIZE_THREAD__)
  // ThreadSanitizer does not see how the TBB library orders the threads of a loop.
  char order = 0;
  __tsan_release(&order);
  tbb::parallel_for(
      std::int64_t{0}, count, std::int64_t{1},
      [&](std::int64_t i) {
        __tsan_acquire(&order);
        body(i);
        __tsan_release(&order);
      },
      tbb::simple_partitioner());
  __tsan_acquire(&order);
#else
  tbb::parallel_for(
      std::int64_t{0}, count, std::int64_t{1}, [&](std::int64_t i) { body(i); },
      tbb::simple_partitioner());
#endif
}

// Calls body(begin, end) for consecutive chunks of [0, count), in parallel.
template <typename Body>
void parallel_chunks(std::int64_t count, std::int64_t chunk, const Body& body) {
  parallel_tasks(chunk_count(count, chunk),
                 [&](std::int64_t i) { body(i * chunk, std::min(count, (i + 1) * chunk)); });
}

// A chunk of rows that makes one chunk worth `bytes_per_row` * rows of about 64 KiB of traffic:
// far above the cost of a task, small enough to balance threads.
inline std::int64_t rows_per_chunk(std::int64_t bytes_per_row) {
  return std::max<std::int64_t>(1, 65536 / std::max<std::int64_t>(1, bytes_per_row));
}

}  // namespace mneme::kernels::cpu
