// Device memory, streams and events: how work is ordered on one device.
//
// Failures of queued work. Nothing may compute with what failed work has not written:
//
//                                   CPU backend                      CUDA backend
//   later work of the stream        is skipped                       runs; operations that met bad
//                                                                    input wrote harmless values
//   an event recorded there         carries the failure: its         is an ordinary event
//                                   synchronize() and
//                                   seconds_since() throw it
//   a stream that waits for it      fails with it, too               goes on
//   Stream::synchronize()           throws, once; then the stream    throws, once
//                                   works again
//   too little temporary memory     the same as any failure          thrown when work is queued
//   a fault of the device           -                                fails all that follows on it
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

namespace mneme::kernels {

enum class MemoryKind {
  kDevice,      // HBM; on the CPU backend ordinary memory
  kPinnedHost,  // page-locked host memory that device kernels can read and write
};

class Backend;

// Owns one allocation of a backend. Move-only. The backend must outlive it. It may go while queued
// work still uses it, as when an error unwinds an owner in mid-step: its destructor waits until
// everything queued on the backend's streams has run.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Backend* backend, void* data, std::size_t bytes, MemoryKind kind)
      : backend_(backend), data_(data), bytes_(bytes), kind_(kind) {}
  ~Buffer();
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }

  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  std::size_t bytes() const { return bytes_; }
  MemoryKind kind() const { return kind_; }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(backend_, other.backend_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(kind_, other.kind_);
  }

  Backend* backend_ = nullptr;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  MemoryKind kind_ = MemoryKind::kDevice;
};

// A point in a stream's order that other streams can wait for.
class Event {
 public:
  virtual ~Event() = default;
  // Seconds from the last record of `earlier` to the last record of this one, in device time.
  // REQUIRES: both were recorded and reached (their streams have been synchronised since).
  virtual double seconds_since(const Event& earlier) const = 0;
  // Whether the last record has been reached; true when there was none. Does not wait.
  virtual bool reached() const = 0;
  // Blocks the caller until it has been. Throws Error when the last record carries a failure, which
  // stays with its stream.
  virtual void synchronize() = 0;
};

// kHigh is for short work that other streams wait for: where a device has work of several streams,
// it starts the blocks of that first. The CPU backend makes no difference.
enum class StreamPriority { kNormal, kHigh };

// An ordered queue of device work. Operations on one stream run in order; two streams run at the
// same time unless an event orders them. On the CPU backend a stream is a worker thread.
class Stream {
 public:
  virtual ~Stream() = default;
  // Marks the work queued so far.
  virtual void record(Event& event) = 0;
  // Work queued after this call starts only once the event's last record is reached, and is skipped
  // when that carries a failure.
  virtual void wait(Event& event) = 0;
  // Blocks the caller until everything queued has run. Throws Error when some of it failed, once
  // for all that failed before.
  virtual void synchronize() = 0;
  // Calls `work` on a host thread when everything queued so far has run; what is queued later waits
  // for its end. It must not throw, nor call the backend. For what has to happen at a point of the
  // stream's time: emulated links and computations.
  virtual void run_on_host(std::function<void()> work) = 0;
};

}  // namespace mneme::kernels
