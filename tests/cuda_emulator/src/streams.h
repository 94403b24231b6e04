// Handles of streams. All work is done when it is queued, so they only have to exist.
#pragma once

#include <emulator/runtime_types.h>

namespace emulator {

// True for a stream that was created and not destroyed, and for the default stream (null).
bool is_stream(cudaStream_t stream);

// The calling thread has waited: what was recorded before is reached.
void note_wait();

}  // namespace emulator
