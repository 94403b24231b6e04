// When events were reached, by the host's clock: of all streams of a backend, from one event whose
// time is known.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>

#include "kernels/backend.h"

namespace mneme::kernels {

class StreamTimes {
 public:
  using Clock = std::chrono::steady_clock;

  // Those of the backend: whoever holds them goes by the same event, so that what lay in something
  // else by one holder's events does so by another's. The first call waits for what is queued on
  // the stream. Must not outlive the backend.
  static std::shared_ptr<const StreamTimes> of(Backend& backend, Stream& stream) {
    static std::mutex mutex;
    static std::weak_ptr<const StreamTimes> shared;
    const std::lock_guard lock(mutex);
    auto times = shared.lock();
    if (times == nullptr || times->backend_ != &backend) {
      times = std::shared_ptr<const StreamTimes>(new StreamTimes(backend, stream));
      shared = times;
    }
    return times;
  }

  // REQUIRES: the event was recorded, and reached.
  Clock::time_point when(const Event& event) const {
    const std::chrono::duration<double> since(event.seconds_since(*base_));
    return at_ + std::chrono::duration_cast<Clock::duration>(since);
  }

 private:
  StreamTimes(Backend& backend, Stream& stream)
      : backend_(&backend), base_(backend.create_event()) {
    stream.synchronize();
    stream.record(*base_);
    base_->synchronize();
    at_ = Clock::now();
  }

  Backend* backend_;
  std::unique_ptr<Event> base_;
  Clock::time_point at_;
};

}  // namespace mneme::kernels
