// Streams and events of the runtime API.
#include <emulator/runtime_api.h>
#include "tests/cuda_emulator/src/counters.h"
#include "tests/cuda_emulator/src/device_work.h"
#include "tests/cuda_emulator/src/errors.h"

using namespace emulator;

namespace {

// Priorities as on an H100. They change nothing: a GPU may ignore them as well.
constexpr int kLeastPriority = 0;
constexpr int kGreatestPriority = -5;

// What a call that has waited says: the device may have failed by now.
cudaError_t after_waiting(cudaError_t error) {
  return error != cudaSuccess ? report(error) : device_error();
}

}  // namespace

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithPriority(stream, cudaStreamDefault, kLeastPriority);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, kLeastPriority);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  if (const cudaError_t error = device_error()) return error;
  if (stream == nullptr || flags > cudaStreamNonBlocking) return report(cudaErrorInvalidValue);
  *stream = DeviceWork::instance().create_stream(flags == cudaStreamDefault);
  return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  if (const cudaError_t error = device_error()) return error;
  if (least != nullptr) *least = kLeastPriority;
  if (greatest != nullptr) *greatest = kGreatestPriority;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (const cudaError_t error = device_error()) return error;
  return report(DeviceWork::instance().destroy_stream(stream));
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (const cudaError_t error = device_error()) return error;
  count(Counter::kSynchronisations);
  return after_waiting(DeviceWork::instance().finish(stream));
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (const cudaError_t error = device_error()) return error;
  return after_waiting(DeviceWork::instance().query(stream));
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (const cudaError_t error = device_error()) return error;
  count(Counter::kStreamWaits);
  return report(DeviceWork::instance().wait(stream, event));
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* user_data) {
  if (const cudaError_t error = device_error()) return error;
  if (function == nullptr) return report(cudaErrorInvalidValue);
  return report(DeviceWork::instance().add(
      stream, [function, user_data] { function(user_data); }, Needs::kNothing));
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  if (const cudaError_t error = device_error()) return error;
  constexpr unsigned kKnown = cudaEventBlockingSync | cudaEventDisableTiming;
  if (event == nullptr || (flags & ~kKnown) != 0) return report(cudaErrorInvalidValue);
  *event = DeviceWork::instance().create_event((flags & cudaEventDisableTiming) == 0);
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (const cudaError_t error = device_error()) return error;
  return report(DeviceWork::instance().record(event, stream));
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (const cudaError_t error = device_error()) return error;
  count(Counter::kSynchronisations);
  return after_waiting(DeviceWork::instance().finish(event));
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (const cudaError_t error = device_error()) return error;
  return after_waiting(DeviceWork::instance().query(event));
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (const cudaError_t error = device_error()) return error;
  if (milliseconds == nullptr) return report(cudaErrorInvalidValue);
  return report(DeviceWork::instance().elapsed(milliseconds, start, end));
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (const cudaError_t error = device_error()) return error;
  return report(DeviceWork::instance().destroy_event(event));
}
