// Parallel loops whose results do not depend on the number of threads.
//
// A loop is cut into chunks of a size that the caller derives from shapes only; threads share the
// chunks in any order. What a chunk computes must depend on the chunk alone; sums across chunks are
// kept per chunk and added up in chunk order afterwards.
//
// Bodies may not start another parallel loop when they use thread_slot() memory: a thread that
// waits for an inner loop may run another chunk of the outer one.
#pragma once

#include <algorithm>
#include <cstdint>

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace mneme::kernels::cpu {

// The index of the calling thread within the operation, in [0, thread_slots()): for memory that a
// chunk needs while it runs.
int thread_slot();
// The number of distinct thread_slot() values: the stream's number of threads.
int thread_slots();

inline std::int64_t chunk_count(std::int64_t count, std::int64_t chunk) {
  return (count + chunk - 1) / chunk;
}

namespace internal {
// Calls body(context, index) for index in [0, count), in parallel. Compiled without
// ThreadSanitizer, which cannot see how the TBB library orders the parts of a loop.
void run_tasks(std::int64_t count, void (*body)(const void*, std::int64_t), const void* context);
}  // namespace internal

// Calls body(index) for index in [0, count), in parallel.
template <typename Body>
void parallel_tasks(std::int64_t count, const Body& body) {
  if (count <= 1 || thread_slots() == 1) {
    for (std::int64_t i = 0; i < count; ++i) body(i);
    return;
  }
#if defined(__SANITIZE_THREAD__)
  // The order that TBB guarantees: what is before the loop, the bodies, what is after it.
  struct Ordered {
    const Body& body;
    mutable char order = 0;
  };
  const Ordered ordered{body};
  __tsan_release(&ordered.order);
  const auto run = [](const void* context, std::int64_t i) {
    const auto* loop = static_cast<const Ordered*>(context);
    __tsan_acquire(&loop->order);
    loop->body(i);
    __tsan_release(&loop->order);
  };
  internal::run_tasks(count, run, &ordered);
  __tsan_acquire(&ordered.order);
#else
  const auto run = [](const void* context, std::int64_t i) {
    (*static_cast<const Body*>(context))(i);
  };
  internal::run_tasks(count, run, &body);
#endif
}

// Calls body(begin, end) for consecutive chunks of [0, count), in parallel.
template <typename Body>
void parallel_chunks(std::int64_t count, std::int64_t chunk, const Body& body) {
  parallel_tasks(chunk_count(count, chunk),
                 [&](std::int64_t i) { body(i * chunk, std::min(count, (i + 1) * chunk)); });
}

// How many entries early a loop over a list asks for the memory that an entry names.
inline constexpr std::int64_t kPrefetchAhead = 32;

// A chunk of rows that makes one chunk worth `bytes_per_row` * rows of about 64 KiB of traffic:
// far above the cost of a task, small enough to balance threads.
inline std::int64_t rows_per_chunk(std::int64_t bytes_per_row) {
  return std::max<std::int64_t>(1, 65536 / std::max<std::int64_t>(1, bytes_per_row));
}

}  // namespace mneme::kernels::cpu
