// Queues what the emulator cannot know to be device work, such as a Thrust algorithm that a GPU
// would run.
#pragma once

#include <functional>

#include <emulator/runtime_types.h>

namespace emulator {

// `work` runs when its turn comes, on whichever thread waits then, and device memory is open to it.
// So it may hold no reference to the caller's variables. What it throws becomes an error of the
// device. cudaErrorInvalidResourceHandle if there is no such stream.
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work);

}  // namespace emulator
