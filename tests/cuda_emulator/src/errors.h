// What the runtime's functions share: the last error of a thread, and whether there is a device.
#pragma once

#include <emulator/errors.h>

namespace emulator {

// Keeps an error for cudaGetLastError(); gives it back.
cudaError_t report(cudaError_t error);

// False on a machine without a device (MNEME_EMULATED_DEVICES=0).
bool has_device();

}  // namespace emulator
