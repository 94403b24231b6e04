// What the runtime's functions share: the last error of a thread, whether there is a device, and
// whether it still works.
#pragma once

#include <emulator/errors.h>

namespace emulator {

// Keeps an error for cudaGetLastError(); gives it back.
cudaError_t report(cudaError_t error);

// False on a machine without a device (MNEME_EMULATED_DEVICES=0).
bool has_device();

// What every call that needs the device says first, reported: there is none, it has failed, or the
// caller is a host function that the device runs.
cudaError_t device_error();

// The device has failed for good, with a sticky error; says why on stderr. The first failure stays.
void fail_device(cudaError_t error, const char* why);
cudaError_t device_fault();

// While one exists, the thread may not call the runtime.
class CallsForbidden {
 public:
  CallsForbidden();
  ~CallsForbidden();
  CallsForbidden(const CallsForbidden&) = delete;
  CallsForbidden& operator=(const CallsForbidden&) = delete;
};

}  // namespace emulator
