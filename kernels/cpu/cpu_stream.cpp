#include "kernels/cpu/cpu_stream.h"

#include <new>
#include <system_error>
#include <utility>

#include "io/check.h"
#include "io/error.h"
#include "io/log.h"

namespace mneme::kernels::cpu {
namespace {

constexpr std::size_t kQueueLength = 1024;
// About 20 microseconds: longer than the gap between two operations of a step that is being
// queued, short enough not to take a core from computing.
constexpr int kSpins = 400;

thread_local bool is_worker = false;

// Of work that asked the heap, not the backend: thread tasks, temporary arrays of algorithms.
std::exception_ptr out_of_memory() {
  return std::make_exception_ptr(
      io::Error("out of memory in queued work; use a smaller tier budget, batch or model"));
}

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

CpuEvent& as_cpu_event(Event& event) {
  auto* cpu = dynamic_cast<CpuEvent*>(&event);
  CHECK(cpu != nullptr, "an event of another backend");
  return *cpu;
}

}  // namespace

CpuEvent::~CpuEvent() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return references_ == 0; });
}

double CpuEvent::seconds_since(const Event& earlier) const {
  const auto* other = dynamic_cast<const CpuEvent*>(&earlier);
  CHECK(other != nullptr, "an event of another backend");
  const auto reached_at = [](const CpuEvent& event) {
    std::lock_guard lock(event.mutex_);
    CHECK(event.recorded_ > 0 && !event.is_open(event.recorded_), "an event not yet reached");
    if (const auto error = event.failure_of(event.recorded_)) std::rethrow_exception(error);
    return event.reached_at_;
  };
  return std::chrono::duration<double>(reached_at(*this) - reached_at(*other)).count();
}

bool CpuEvent::reached() const {
  std::lock_guard lock(mutex_);
  return !is_open(recorded_);
}

void CpuEvent::synchronize() {
  std::uint64_t record = 0;
  {
    std::lock_guard lock(mutex_);
    record = recorded_;
    ++references_;
  }
  await(record);
}

std::uint64_t CpuEvent::start_record() {
  std::lock_guard lock(mutex_);
  if (references_ == 0) failures_.clear();
  // reach() runs on a worker and must not fail for want of memory. Where there is none, nothing has
  // been counted that the destructor would wait for.
  failures_.reserve(failures_.size() + static_cast<std::size_t>(references_) + 1);
  open_.push_back(recorded_ + 1);
  ++references_;
  return ++recorded_;
}

// Notifies under the lock: once it is released, the event may be destroyed.
void CpuEvent::reach(std::uint64_t record, std::exception_ptr error) {
  std::lock_guard lock(mutex_);
  if (error) failures_.push_back({record, std::move(error)});
  std::erase(open_, record);
  if (record == recorded_) reached_at_ = std::chrono::steady_clock::now();
  --references_;
  changed_.notify_all();
}

void CpuEvent::await(std::uint64_t record) {
  std::exception_ptr error;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !is_open(record); });
    error = failure_of(record);
    --references_;
    changed_.notify_all();
  }
  if (error) std::rethrow_exception(error);
}

std::exception_ptr CpuEvent::failure_of(std::uint64_t record) const {
  for (const Failure& failure : failures_) {
    if (failure.record == record) return failure.error;
  }
  return nullptr;
}

void StreamList::add(CpuStream& stream) {
  std::lock_guard lock(mutex_);
  streams_.push_back(&stream);
}

void StreamList::remove(CpuStream& stream) {
  std::lock_guard lock(mutex_);
  std::erase(streams_, &stream);
}

void StreamList::drain() {
  std::lock_guard lock(mutex_);
  for (CpuStream* stream : streams_) stream->drain();
}

CpuStream::CpuStream(Backend& backend, StreamList& list, int threads, const GuardZones* zones)
    : list_(list),
      threads_(threads),
      zones_(zones),
      arena_(threads, 1),
      scratch_(backend, zones != nullptr),
      ring_(kQueueLength) {
  try {
    worker_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    io::fail(
        "cannot start a thread for a stream: {}; raise the limits on processes and memory "
        "(ulimit -u, ulimit -v)",
        error.code().message());
  }
  list_.add(*this);
}

CpuStream::~CpuStream() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  not_empty_.notify_one();
  worker_.join();
  list_.remove(*this);
  if (error_ && !inherited_) {
    try {
      std::rethrow_exception(error_);
    } catch (const std::exception& error) {
      io::warn("a stream was closed with an error that nobody had waited for: {}", error.what());
    }
  }
}

void CpuStream::enqueue(Work work) {
  push({.work = std::move(work)});
}

void CpuStream::record(Event& event) {
  CpuEvent& cpu = as_cpu_event(event);
  push({.work = {}, .reached = &cpu, .record = cpu.start_record()});
}

void CpuStream::wait(Event& event) {
  CpuEvent& cpu = as_cpu_event(event);
  std::uint64_t record = 0;
  {
    std::lock_guard lock(cpu.mutex_);
    record = cpu.recorded_;
    if (!cpu.is_open(record) && !cpu.failure_of(record)) return;
    ++cpu.references_;
  }
  push({.work = {}, .awaited = &cpu, .record = record});
}

void CpuStream::synchronize() {
  std::exception_ptr error;
  {
    std::unique_lock lock(mutex_);
    wait_until_run(lock);
    error = std::exchange(error_, nullptr);
    inherited_ = false;
    failed_.store(false, std::memory_order_relaxed);
  }
  if (zones_ != nullptr) zones_->check("when a stream was synchronised");
  if (error) std::rethrow_exception(error);
}

void CpuStream::drain() {
  std::unique_lock lock(mutex_);
  wait_until_run(lock);
}

bool CpuStream::on_worker() {
  return is_worker;
}

void CpuStream::wait_until_run(std::unique_lock<std::mutex>& lock) {
  const std::uint64_t target = pushed_;
  idle_.wait(lock, [&] { return finished_ >= target; });
}

void CpuStream::push(Item item) {
  bool wake = false;
  {
    std::unique_lock lock(mutex_);
    not_full_.wait(lock, [&] { return pushed_ - popped_ < ring_.size(); });
    ring_[pushed_ % ring_.size()] = std::move(item);
    ++pushed_;
    ready_.store(pushed_, std::memory_order_release);
    wake = worker_sleeps_;
  }
  if (wake) not_empty_.notify_one();
}

bool CpuStream::pop(Item& item) {
  // popped_ is written by this thread only.
  for (int i = 0; i < kSpins && ready_.load(std::memory_order_acquire) == popped_; ++i) {
    pause_briefly();
  }
  std::unique_lock lock(mutex_);
  worker_sleeps_ = true;
  not_empty_.wait(lock, [&] { return pushed_ != popped_ || stopping_; });
  worker_sleeps_ = false;
  if (pushed_ == popped_) return false;
  const bool was_full = pushed_ - popped_ == ring_.size();
  item = std::move(ring_[popped_ % ring_.size()]);
  ++popped_;
  lock.unlock();
  if (was_full) not_full_.notify_all();
  return true;
}

void CpuStream::run() {
  is_worker = true;
  Item item;
  while (pop(item)) {
    std::exception_ptr error;
    try {
      run(item);
    } catch (const std::bad_alloc&) {
      error = out_of_memory();
    } catch (...) {
      error = std::current_exception();
    }
    const bool inherited = item.awaited != nullptr;
    item = {};  // what the closure captured goes before the work counts as finished
    finish(std::move(error), inherited);
  }
}

void CpuStream::run(Item& item) {
  if (item.reached != nullptr) {
    item.reached->reach(item.record, error());
  } else if (item.awaited != nullptr) {
    item.awaited->await(item.record);
  } else if (!failed_.load(std::memory_order_relaxed)) {
    scratch_.reset();
    arena_.execute([&] { item.work(scratch_); });
    scratch_.check_guard_zones();
  }
}

std::exception_ptr CpuStream::error() {
  std::lock_guard lock(mutex_);
  return error_;
}

void CpuStream::finish(std::exception_ptr error, bool inherited) {
  {
    std::lock_guard lock(mutex_);
    ++finished_;
    if (error && !error_) {
      error_ = std::move(error);
      inherited_ = inherited;
      failed_.store(true, std::memory_order_relaxed);
    }
  }
  idle_.notify_all();  // costs nothing when nobody waits
}

}  // namespace mneme::kernels::cpu
