#include "tools/mneme/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <cstring>

#include "io/check.h"

namespace mneme::tools {
namespace {

std::atomic<int> received{0};
std::atomic<bool> guarded{false};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may not take a lock");

void on_signal(int signal) {
  if (received.exchange(signal) != 0) _exit(128 + signal);
  static constexpr char kMessage[] = "\nstopping; once more to stop at once\n";
  // Nothing can be done here when the message cannot be written.
  [[maybe_unused]] const auto written = write(STDERR_FILENO, kMessage, std::strlen(kMessage));
}

}  // namespace

InterruptGuard::InterruptGuard() {
  CHECK(!guarded.exchange(true), "one InterruptGuard at a time");
  received = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;  // so that reads and writes in progress are not torn
  sigemptyset(&action.sa_mask);
  CHECK(sigaction(SIGINT, &action, &before_interrupt_) == 0);
  CHECK(sigaction(SIGTERM, &action, &before_terminate_) == 0);
}

InterruptGuard::~InterruptGuard() {
  sigaction(SIGINT, &before_interrupt_, nullptr);
  sigaction(SIGTERM, &before_terminate_, nullptr);
  guarded = false;
}

bool InterruptGuard::interrupted() const {
  return received != 0;
}

int InterruptGuard::exit_status() const {
  return received == 0 ? 0 : 128 + received;
}

}  // namespace mneme::tools
