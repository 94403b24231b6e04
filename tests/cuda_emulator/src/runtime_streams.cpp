// Streams and events of the runtime API.
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include <emulator/runtime_api.h>
#include "tests/cuda_emulator/src/errors.h"
#include "tests/cuda_emulator/src/streams.h"

struct CUstream_st {
  unsigned flags;
  int priority;
};

struct CUevent_st {
  bool timed;
  bool recorded = false;
  std::chrono::steady_clock::time_point time{};
  // Until it has been asked once or something was waited for, an event is not ready.
  bool asked = true;
  unsigned waits_before = 0;
};

namespace emulator {
namespace {

// Priorities as on an H100.
constexpr int kLeastPriority = 0;
constexpr int kGreatestPriority = -5;

// The objects behind one kind of handle.
template <typename Object>
class Handles {
 public:
  Object* add(Object object) {
    const std::lock_guard lock(mutex_);
    auto owned = std::make_unique<Object>(object);
    Object* handle = owned.get();
    objects_.emplace(handle, std::move(owned));
    return handle;
  }
  bool remove(Object* handle) {
    const std::lock_guard lock(mutex_);
    return objects_.erase(handle) != 0;
  }
  // Calls use(object) unless the handle is not one.
  template <typename Use>
  bool with(Object* handle, const Use& use) {
    const std::lock_guard lock(mutex_);
    const auto entry = objects_.find(handle);
    if (entry == objects_.end()) return false;
    use(*entry->second);
    return true;
  }
  bool contains(Object* handle) {
    return with(handle, [](const Object&) {});
  }

  // Not destroyed at exit: objects of the program that are may still use handles.
  static Handles& instance() {
    alignas(Handles) static unsigned char storage[sizeof(Handles)];
    static Handles* const handles = ::new (storage) Handles;
    return *handles;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<Object*, std::unique_ptr<Object>> objects_;
};

using Streams = Handles<CUstream_st>;
using Events = Handles<CUevent_st>;

cudaError_t check_stream(cudaStream_t stream) {
  if (!has_device()) return report(cudaErrorNoDevice);
  return is_stream(stream) ? cudaSuccess : report(cudaErrorInvalidResourceHandle);
}

cudaError_t check_event(cudaEvent_t event) {
  if (!has_device()) return report(cudaErrorNoDevice);
  return Events::instance().contains(event) ? cudaSuccess : report(cudaErrorInvalidResourceHandle);
}

// Calls that waited for a stream, an event or the device.
std::atomic<unsigned> waits{0};

}  // namespace

void note_wait() {
  ++waits;
}

bool is_stream(cudaStream_t stream) {
  return stream == nullptr || Streams::instance().contains(stream);
}

}  // namespace emulator

using namespace emulator;

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithPriority(stream, cudaStreamDefault, kLeastPriority);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, kLeastPriority);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  if (!has_device()) return report(cudaErrorNoDevice);
  if (stream == nullptr || flags > cudaStreamNonBlocking) return report(cudaErrorInvalidValue);
  *stream = Streams::instance().add({flags, priority});
  return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  if (!has_device()) return report(cudaErrorNoDevice);
  if (least != nullptr) *least = kLeastPriority;
  if (greatest != nullptr) *greatest = kGreatestPriority;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return Streams::instance().remove(stream) ? cudaSuccess : report(cudaErrorInvalidResourceHandle);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  note_wait();
  return check_stream(stream);
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return check_stream(stream);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (const cudaError_t error = check_stream(stream)) return error;
  return check_event(event);
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* user_data) {
  if (const cudaError_t error = check_stream(stream)) return error;
  if (function == nullptr) return report(cudaErrorInvalidValue);
  function(user_data);
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  if (!has_device()) return report(cudaErrorNoDevice);
  constexpr unsigned kKnown = cudaEventBlockingSync | cudaEventDisableTiming;
  if (event == nullptr || (flags & ~kKnown) != 0) return report(cudaErrorInvalidValue);
  *event = Events::instance().add({.timed = (flags & cudaEventDisableTiming) == 0});
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (const cudaError_t error = check_stream(stream)) return error;
  const bool known = Events::instance().with(event, [](CUevent_st& object) {
    object.recorded = true;
    object.time = std::chrono::steady_clock::now();
    object.asked = false;
    object.waits_before = waits;
  });
  return known ? cudaSuccess : report(cudaErrorInvalidResourceHandle);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  note_wait();
  return check_event(event);
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (const cudaError_t error = check_event(event)) return error;
  bool ready = true;
  Events::instance().with(event, [&](CUevent_st& object) {
    ready = std::exchange(object.asked, true) || object.waits_before != waits;
  });
  return ready ? cudaSuccess : report(cudaErrorNotReady);
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (milliseconds == nullptr) return report(cudaErrorInvalidValue);
  CUevent_st first{};
  CUevent_st second{};
  const bool known = Events::instance().with(start, [&](const CUevent_st& event) {
    first = event;
  }) && Events::instance().with(end, [&](const CUevent_st& event) { second = event; });
  if (!known || !first.timed || !second.timed || !first.recorded || !second.recorded) {
    return report(cudaErrorInvalidResourceHandle);
  }
  *milliseconds = std::chrono::duration<float, std::milli>(second.time - first.time).count();
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return Events::instance().remove(event) ? cudaSuccess : report(cudaErrorInvalidResourceHandle);
}
