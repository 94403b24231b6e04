// Signals that end the program: the first SIGINT, SIGTERM or SIGHUP asks the work to stop, a second
// one ends the program at once.
#pragma once

#include <signal.h>

#include <array>

namespace mneme::tools {

// Handles the three signals while it lives; the handlers from before come back after it. At most
// one at a time.
//
// A SIGHUP that was ignored when the program started stays ignored, as nohup wants it. Closing a
// terminal may send several, so a further SIGHUP ends nothing; and what sends one signal both to
// the program and to its group (timeout does) has sent one, so a repetition within 50 ms is none.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  // True once a signal has come. From any thread.
  bool interrupted() const;
  // Throws io::Interrupted once a signal has come: for work that leaves nothing half-done when it
  // unwinds. main() ends the program with exit_status() then.
  void check() const;
  // The exit status of a program that a signal stopped: 128 + the signal's number; 0 without one.
  int exit_status() const;

 private:
  static constexpr std::array<int, 3> kSignals = {SIGINT, SIGTERM, SIGHUP};
  std::array<struct sigaction, kSignals.size()> before_ = {};
};

}  // namespace mneme::tools
