// Everything that is queued for the device: the streams, the events that order them, and who runs
// what when.
//
// Queueing only puts an operation at its stream's end. The threads that wait for something run
// operations, one at a time, in an order that WorkOrder chooses, until what they wait for is
// reached. With MNEME_EMULATOR_STREAMS=at-once every operation has run when it is queued.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "tests/cuda_emulator/src/stream_queue.h"
#include "tests/cuda_emulator/src/work_order.h"

struct CUevent_st {
  bool timed;
  bool recorded = false;
  emulator::Point point{};  // of the last record
  std::chrono::steady_clock::time_point time{};
};

namespace emulator {

// What device work needs to run.
enum class Needs { kDeviceMemory, kNothing };
// When a call that queues returns.
enum class Return { kAtOnce, kWhenDone };

// Handles that are unknown give cudaErrorInvalidResourceHandle; errors are not yet reported.
class DeviceWork {
 public:
  // The only one. It lasts until the process ends.
  static DeviceWork& instance();

  // A blocking stream is ordered with the default stream, which is null and always there.
  cudaStream_t create_stream(bool blocking);
  // What is queued will still run.
  cudaError_t destroy_stream(cudaStream_t stream);
  bool has_stream(cudaStream_t stream);
  cudaEvent_t create_event(bool timed);
  cudaError_t destroy_event(cudaEvent_t event);

  cudaError_t add(cudaStream_t stream, std::function<void()> work,
                  Needs needs = Needs::kDeviceMemory, Return when = Return::kAtOnce);
  cudaError_t record(cudaEvent_t event, cudaStream_t stream);
  cudaError_t wait(cudaStream_t stream, cudaEvent_t event);

  // Return when it has run.
  cudaError_t finish(cudaStream_t stream);
  cudaError_t finish(cudaEvent_t event);
  void finish_all();
  // May run some of it, or other work; cudaErrorNotReady if that does not reach the end.
  cudaError_t query(cudaStream_t stream);
  cudaError_t query(cudaEvent_t event);
  cudaError_t elapsed(float* milliseconds, cudaEvent_t start, cudaEvent_t end);

 private:
  using Lock = std::unique_lock<std::mutex>;
  using Goals = std::vector<Point>;

  DeviceWork();
  CUstream_st* find(cudaStream_t stream, std::uint64_t* number);
  CUevent_st* find(cudaEvent_t event);
  Point append(std::uint64_t number, Operation operation);
  void after_append(Lock& lock, Point point, Return when);
  bool all_reached(const Goals& goals) const;
  void run_until_reached(Lock& lock, const Goals& goals);
  cudaError_t try_to_reach(Lock& lock, Point goal);
  void run_one(Lock& lock, const Goals& goals);
  void finish_operation(std::uint64_t number, const Operation& operation);

  std::mutex mutex_;
  std::condition_variable changed_;
  bool running_ = false;     // some thread runs an operation
  std::size_t waiting_ = 0;  // operations, of all streams
  StreamMap streams_;        // 0 is the default stream
  std::uint64_t next_stream_ = 1;
  std::unordered_map<cudaEvent_t, std::unique_ptr<CUevent_st>> events_;
  WorkOrder order_;
  bool at_once_;
};

}  // namespace emulator
