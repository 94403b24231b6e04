// Ctrl-C: the first SIGINT or SIGTERM asks the work to stop, a second one ends the program at once.
#pragma once

#include <signal.h>

namespace mneme::tools {

// Handles the two signals while it lives; the handlers from before come back after it. At most one
// at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  // True once a signal has come. From any thread.
  bool interrupted() const;
  // The exit status of a program that a signal stopped: 128 + the signal's number; 0 without one.
  int exit_status() const;

 private:
  struct sigaction before_interrupt_ {};
  struct sigaction before_terminate_ {};
};

}  // namespace mneme::tools
