#include "kernels/cpu/parallel.h"

#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

namespace mneme::kernels::cpu {

int thread_slot() {
  return tbb::this_task_arena::current_thread_index();
}

int thread_slots() {
  return tbb::this_task_arena::max_concurrency();
}

namespace internal {

void run_tasks(std::int64_t count, void (*body)(const void*, std::int64_t), const void* context) {
  tbb::parallel_for(
      std::int64_t{0}, count, std::int64_t{1}, [=](std::int64_t i) { body(context, i); },
      tbb::simple_partitioner());
}

}  // namespace internal
}  // namespace mneme::kernels::cpu
