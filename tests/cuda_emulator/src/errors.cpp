#include "tests/cuda_emulator/src/errors.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <emulator/runtime_api.h>

namespace {
thread_local cudaError_t last_error = cudaSuccess;
thread_local bool calls_forbidden = false;
std::atomic<cudaError_t> fault{cudaSuccess};
}  // namespace

namespace emulator {

cudaError_t report(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

bool has_device() {
  const char* devices = std::getenv("MNEME_EMULATED_DEVICES");
  return devices == nullptr || std::strcmp(devices, "0") != 0;
}

cudaError_t device_error() {
  if (!has_device()) return report(cudaErrorNoDevice);
  return report(calls_forbidden ? cudaErrorNotPermitted : device_fault());
}

void fail_device(cudaError_t error, const char* why) {
  cudaError_t none = cudaSuccess;
  if (!fault.compare_exchange_strong(none, error)) return;
  std::fprintf(stderr, "CUDA emulator: the device has failed: %s\n", why);
}

cudaError_t device_fault() {
  return fault.load();
}

CallsForbidden::CallsForbidden() {
  calls_forbidden = true;
}
CallsForbidden::~CallsForbidden() {
  calls_forbidden = false;
}

}  // namespace emulator

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define MNEME_ERROR_NAME(name, number, text) \
  case name:                                 \
    return #name;
    MNEME_CUDA_ERRORS(MNEME_ERROR_NAME)
#undef MNEME_ERROR_NAME
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
#define MNEME_ERROR_TEXT(name, number, text) \
  case name:                                 \
    return text;
    MNEME_CUDA_ERRORS(MNEME_ERROR_TEXT)
#undef MNEME_ERROR_TEXT
  }
  return "unrecognized error code";
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  if (error != emulator::device_fault()) last_error = cudaSuccess;
  return error;
}

cudaError_t cudaPeekAtLastError() {
  return last_error;
}
