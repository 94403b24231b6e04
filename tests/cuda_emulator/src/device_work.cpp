#include "tests/cuda_emulator/src/device_work.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include <emulator/device_access.h>
#include "tests/cuda_emulator/src/errors.h"
#include "tests/cuda_emulator/src/report.h"
#include "tests/cuda_emulator/src/seed.h"

namespace emulator {
namespace {

// When more is queued, the thread that queues runs some of it.
constexpr std::size_t kMostWaiting = 4096;
// A query runs fewer operations than this: few, so that who only asks has to live with a no.
constexpr std::uint64_t kQueryOperations = 4;

bool are_streams_at_once() {
  const char* streams = std::getenv("MNEME_EMULATOR_STREAMS");
  if (streams == nullptr || std::strcmp(streams, "asynchronous") == 0) return false;
  if (std::strcmp(streams, "at-once") == 0) return true;
  die("MNEME_EMULATOR_STREAMS is \"%s\"; it may be asynchronous or at-once", streams);
}

}  // namespace

DeviceWork& DeviceWork::instance() {
  // Not destroyed at exit: objects of the program that are may still use handles.
  alignas(DeviceWork) static unsigned char storage[sizeof(DeviceWork)];
  static DeviceWork* const work = ::new (storage) DeviceWork;
  return *work;
}

DeviceWork::DeviceWork() : order_(configured_seed()), at_once_(are_streams_at_once()) {
  streams_.emplace(0, CUstream_st{.blocking = true});
}

// ---- handles ----

CUstream_st* DeviceWork::find(cudaStream_t stream, std::uint64_t* number) {
  for (auto& [key, object] : streams_) {
    const bool is_it = stream == nullptr ? key == 0 : stream == &object && object.open;
    if (!is_it) continue;
    *number = key;
    return &object;
  }
  return nullptr;
}

CUevent_st* DeviceWork::find(cudaEvent_t event) {
  const auto entry = events_.find(event);
  return entry == events_.end() ? nullptr : entry->second.get();
}

cudaStream_t DeviceWork::create_stream(bool blocking) {
  const Lock lock(mutex_);
  return &streams_.emplace(next_stream_++, CUstream_st{.blocking = blocking}).first->second;
}

cudaError_t DeviceWork::destroy_stream(cudaStream_t stream) {
  const Lock lock(mutex_);
  std::uint64_t number = 0;
  CUstream_st* object = find(stream, &number);
  if (object == nullptr || number == 0) return cudaErrorInvalidResourceHandle;
  object->open = false;
  if (object->done == object->queued) streams_.erase(number);
  return cudaSuccess;
}

bool DeviceWork::has_stream(cudaStream_t stream) {
  const Lock lock(mutex_);
  std::uint64_t number = 0;
  return find(stream, &number) != nullptr;
}

cudaEvent_t DeviceWork::create_event(bool timed) {
  const Lock lock(mutex_);
  auto event = std::make_unique<CUevent_st>(CUevent_st{.timed = timed});
  const cudaEvent_t handle = event.get();
  events_.emplace(handle, std::move(event));
  return handle;
}

cudaError_t DeviceWork::destroy_event(cudaEvent_t event) {
  const Lock lock(mutex_);
  return events_.erase(event) != 0 ? cudaSuccess : cudaErrorInvalidResourceHandle;
}

// ---- queueing ----

cudaError_t DeviceWork::add(cudaStream_t stream, std::function<void()> work, Needs needs,
                            Return when) {
  Lock lock(mutex_);
  std::uint64_t number = 0;
  if (find(stream, &number) == nullptr) return cudaErrorInvalidResourceHandle;
  Operation operation;
  operation.run = std::move(work);
  if (needs == Needs::kDeviceMemory) {
    operation.run = [inner = std::move(operation.run)] {
      const device_access access;
      inner();
    };
  }
  after_append(lock, append(number, std::move(operation)), when);
  return cudaSuccess;
}

cudaError_t DeviceWork::record(cudaEvent_t event, cudaStream_t stream) {
  Lock lock(mutex_);
  std::uint64_t number = 0;
  CUevent_st* const object = find(event);
  if (find(stream, &number) == nullptr || object == nullptr) return cudaErrorInvalidResourceHandle;
  object->point = append(number, {.run = {}, .after = {}, .event = event});
  object->recorded = true;
  after_append(lock, object->point, Return::kAtOnce);
  return cudaSuccess;
}

cudaError_t DeviceWork::wait(cudaStream_t stream, cudaEvent_t event) {
  Lock lock(mutex_);
  std::uint64_t number = 0;
  const CUevent_st* const object = find(event);
  if (find(stream, &number) == nullptr || object == nullptr) return cudaErrorInvalidResourceHandle;
  if (!object->recorded || is_reached(streams_, object->point)) return cudaSuccess;
  after_append(lock, append(number, {.run = {}, .after = {object->point}}), Return::kAtOnce);
  return cudaSuccess;
}

// The default stream's operations come after all that the blocking streams have queued, and before
// all that they queue from then on.
Point DeviceWork::append(std::uint64_t number, Operation operation) {
  CUstream_st& stream = streams_.at(number);
  for (const auto& [other_number, other] : streams_) {
    const bool ordered = stream.blocking && other.blocking && (number == 0) != (other_number == 0);
    if (ordered && other.done < other.queued) {
      operation.after.push_back({other_number, other.queued});
    }
  }
  stream.waiting.push_back(std::move(operation));
  ++waiting_;
  return {number, ++stream.queued};
}

void DeviceWork::after_append(Lock& lock, Point point, Return when) {
  if (at_once_ || when == Return::kWhenDone) run_until_reached(lock, {point});
  if (waiting_ <= kMostWaiting) return;
  while (waiting_ > kMostWaiting / 2) run_one(lock, {});
}

// ---- running ----

bool DeviceWork::all_reached(const Goals& goals) const {
  for (const Point& goal : goals) {
    if (!is_reached(streams_, goal)) return false;
  }
  return true;
}

void DeviceWork::run_until_reached(Lock& lock, const Goals& goals) {
  order_.next_wait();
  while (!all_reached(goals)) run_one(lock, goals);
}

// Runs an operation, or waits until the thread that runs one has done so.
void DeviceWork::run_one(Lock& lock, const Goals& goals) {
  if (running_) {
    changed_.wait(lock);
    return;
  }
  const std::uint64_t number = order_.choose(streams_, goals);
  CUstream_st& stream = streams_.at(number);
  const Operation operation = std::move(stream.waiting.front());
  stream.waiting.pop_front();
  --waiting_;
  // A device that has failed runs nothing any more.
  if (operation.run && device_fault() == cudaSuccess) {
    running_ = true;
    lock.unlock();
    {
      const CallsForbidden forbidden;
      try {
        operation.run();
      } catch (const std::exception& error) {
        fail_device(cudaErrorLaunchFailure, error.what());
      }
    }
    lock.lock();
    running_ = false;
  }
  finish_operation(number, operation);
  changed_.notify_all();
}

void DeviceWork::finish_operation(std::uint64_t number, const Operation& operation) {
  CUstream_st& stream = streams_.at(number);
  ++stream.done;
  CUevent_st* const event = operation.event == nullptr ? nullptr : find(operation.event);
  if (event != nullptr && event->point == Point{number, stream.done}) {
    event->time = std::chrono::steady_clock::now();
  }
  if (!stream.open && stream.done == stream.queued) streams_.erase(number);
}

// ---- waiting ----

cudaError_t DeviceWork::finish(cudaStream_t stream) {
  Lock lock(mutex_);
  std::uint64_t number = 0;
  const CUstream_st* const object = find(stream, &number);
  if (object == nullptr) return cudaErrorInvalidResourceHandle;
  // On the default stream, nothing takes its place after the blocking streams' work.
  if (number == 0) append(number, {});
  run_until_reached(lock, {{number, object->queued}});
  return cudaSuccess;
}

cudaError_t DeviceWork::finish(cudaEvent_t event) {
  Lock lock(mutex_);
  const CUevent_st* const object = find(event);
  if (object == nullptr) return cudaErrorInvalidResourceHandle;
  run_until_reached(lock, {object->point});
  return cudaSuccess;
}

void DeviceWork::finish_all() {
  Lock lock(mutex_);
  Goals goals;
  for (const auto& [number, stream] : streams_) goals.push_back({number, stream.queued});
  run_until_reached(lock, goals);
}

cudaError_t DeviceWork::try_to_reach(Lock& lock, Point goal) {
  const Goals goals{goal};
  order_.next_wait();
  for (auto left = order_.random(kQueryOperations); left != 0 && !running_; --left) {
    if (all_reached(goals)) break;
    run_one(lock, goals);
  }
  return all_reached(goals) ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t DeviceWork::query(cudaStream_t stream) {
  Lock lock(mutex_);
  std::uint64_t number = 0;
  const CUstream_st* const object = find(stream, &number);
  if (object == nullptr) return cudaErrorInvalidResourceHandle;
  return try_to_reach(lock, {number, object->queued});
}

cudaError_t DeviceWork::query(cudaEvent_t event) {
  Lock lock(mutex_);
  const CUevent_st* const object = find(event);
  if (object == nullptr) return cudaErrorInvalidResourceHandle;
  return try_to_reach(lock, object->point);
}

cudaError_t DeviceWork::elapsed(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  const Lock lock(mutex_);
  const CUevent_st* const first = find(start);
  const CUevent_st* const second = find(end);
  for (const CUevent_st* event : {first, second}) {
    if (event == nullptr || !event->timed || !event->recorded) {
      return cudaErrorInvalidResourceHandle;
    }
  }
  if (!all_reached({first->point, second->point})) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(second->time - first->time).count();
  return cudaSuccess;
}

}  // namespace emulator
