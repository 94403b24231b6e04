// Helpers of the tests about asynchronous streams: handles that own, numbers that the host and the
// device see, and kernels that change one.
#pragma once

#include <cstdlib>
#include <string>

#include "tests/cuda_emulator/test_launch.h"

namespace emulator_test {

// What is left to chance is tried so often: an order that should come up does.
inline constexpr int kTrials = 100;

class Stream {
 public:
  explicit Stream(unsigned flags = cudaStreamNonBlocking) {
    check(cudaStreamCreateWithFlags(&stream_, flags));
  }
  ~Stream() { check(cudaStreamDestroy(stream_)); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  Event() { check(cudaEventCreate(&event_)); }
  ~Event() { check(cudaEventDestroy(event_)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  operator cudaEvent_t() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

// Numbers that the host and the device see.
class PinnedNumbers {
 public:
  explicit PinnedNumbers(std::size_t count) {
    check(cudaHostAlloc(&data_, count * sizeof(int), cudaHostAllocDefault));
  }
  ~PinnedNumbers() { check(cudaFreeHost(data_)); }
  PinnedNumbers(const PinnedNumbers&) = delete;
  PinnedNumbers& operator=(const PinnedNumbers&) = delete;
  int* data() const { return data_; }
  int& operator[](std::size_t i) const { return data_[i]; }

 private:
  int* data_ = nullptr;
};

// Some tests are about orders that MNEME_EMULATOR_STREAMS=at-once does not take.
inline bool are_asynchronous() {
  const char* streams = std::getenv("MNEME_EMULATOR_STREAMS");
  return streams == nullptr || std::string(streams) != "at-once";
}
#define SKIP_AT_ONCE() \
  if (!are_asynchronous()) GTEST_SKIP() << "MNEME_EMULATOR_STREAMS is at-once"

__global__ inline void set(int* target, int value) {
  *target = value;
}
__global__ inline void add_to(int* target, const int* source) {
  *target += *source;
}

inline cudaError_t set_on(cudaStream_t stream, int* target, int value) {
  return launch(Grid(1, 1, 0, stream), set, target, value);
}

}  // namespace emulator_test
