#include "tools/mneme/interrupt.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "io/check.h"
#include "io/interrupted.h"

namespace mneme::tools {
namespace {

constexpr std::int64_t kSameSignalMs = 50;

std::atomic<int> received{0};              // the first signal
std::atomic<std::int64_t> received_ms{0};  // when it came
std::atomic<bool> guarded{false};
static_assert(std::atomic<int>::is_always_lock_free &&
                  std::atomic<std::int64_t>::is_always_lock_free,
              "a signal handler may not take a lock");

std::int64_t now_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000;
}

void say_what_happens() {
  static constexpr char kMessage[] = "\nstopping; once more to stop at once\n";
  // Without a reader that keeps up, the message is not worth waiting for.
  pollfd error = {.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (poll(&error, 1, 0) != 1) return;
  [[maybe_unused]] const auto written = write(STDERR_FILENO, kMessage, std::strlen(kMessage));
}

// Does only what is allowed in a signal handler.
void on_signal(int signal) {
  const int saved_errno = errno;
  const std::int64_t now = now_ms();
  // Before the signal itself, since other threads may be in this handler, too.
  if (received == 0) received_ms = now;
  int first = 0;
  if (received.compare_exchange_strong(first, signal)) {
    say_what_happens();
  } else if (signal != SIGHUP && (signal != first || now - received_ms >= kSameSignalMs)) {
    _exit(128 + signal);
  }
  errno = saved_errno;
}

// Signals that were blocked when the program started would never arrive.
void unblock(const sigset_t& signals) {
  CHECK(pthread_sigmask(SIG_UNBLOCK, &signals, nullptr) == 0);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  CHECK(!guarded.exchange(true), "one InterruptGuard at a time");
  received = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;  // so that reads and writes in progress are not torn
  sigemptyset(&action.sa_mask);
  for (const int signal : kSignals) sigaddset(&action.sa_mask, signal);
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    CHECK(sigaction(kSignals[i], nullptr, &before_[i]) == 0);
    if (kSignals[i] == SIGHUP && before_[i].sa_handler == SIG_IGN) continue;
    CHECK(sigaction(kSignals[i], &action, nullptr) == 0);
  }
  unblock(action.sa_mask);
}

InterruptGuard::~InterruptGuard() {
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &before_[i], nullptr);
  guarded = false;
}

bool InterruptGuard::interrupted() const {
  return received != 0;
}

void InterruptGuard::check() const {
  if (const int signal = received; signal != 0) throw io::Interrupted(signal);
}

int InterruptGuard::exit_status() const {
  return received == 0 ? 0 : 128 + received;
}

}  // namespace mneme::tools
