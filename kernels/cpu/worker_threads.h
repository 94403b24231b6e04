// TBB's threads, started early. TBB starts them when there is work, some of them from one another,
// where nobody can catch that the system refuses another thread: the program would abort in the
// middle of a step. While this object lives, all of them are there.
#pragma once

#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <optional>

namespace mneme::kernels::cpu {

class WorkerThreads {
 public:
  // For operations that run on `threads` threads, the caller's among them. Throws Error when the
  // system does not allow that many.
  explicit WorkerThreads(int threads);
  WorkerThreads(const WorkerThreads&) = delete;
  WorkerThreads& operator=(const WorkerThreads&) = delete;

 private:
  // Lets TBB start more threads than the machine has cores when that is what was asked for.
  std::optional<tbb::global_control> more_threads_;
  tbb::task_arena arena_;  // TBB keeps its threads as long as there is one
};

}  // namespace mneme::kernels::cpu
