#include <emulator/enqueue.h>

#include <tbb/task_arena.h>

#include "tests/cuda_emulator/src/counters.h"
#include "tests/cuda_emulator/src/device_work.h"
#include "tests/cuda_emulator/src/errors.h"

namespace emulator {

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work) {
  if (const cudaError_t error = device_error()) return error;
  count(Counter::kAlgorithms);
  // A thread that waits for the work's tasks may not take up other tasks of the program, which
  // might wait for the device.
  return report(DeviceWork::instance().add(
      stream, [work = std::move(work)] { tbb::this_task_arena::isolate(work); }));
}

}  // namespace emulator
