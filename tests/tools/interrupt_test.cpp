// The first signal asks, the second one ends the program.
#include "tools/mneme/interrupt.h"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "io/interrupted.h"

namespace mneme::tools {
namespace {

// Longer than two deliveries of what was sent once may be apart.
void wait_until_a_signal_counts_again() {
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
}

TEST(Interrupt, TheFirstSignalSetsTheFlag) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    InterruptGuard guard;
    EXPECT_FALSE(guard.interrupted());
    EXPECT_EQ(guard.exit_status(), 0);
    EXPECT_NO_THROW(guard.check());
    std::raise(signal);
    EXPECT_TRUE(guard.interrupted());
    EXPECT_EQ(guard.exit_status(), 128 + signal);
    try {
      guard.check();
      ADD_FAILURE() << "did not throw";
    } catch (const io::Interrupted& interrupted) {
      EXPECT_EQ(interrupted.signal(), signal);
    }
  }
}

TEST(Interrupt, ANewGuardStartsUninterrupted) {
  {
    InterruptGuard guard;
    std::raise(SIGINT);
  }
  EXPECT_FALSE(InterruptGuard().interrupted());
}

TEST(Interrupt, ASignalThatArrivesTwiceAtOnceIsOne) {
  InterruptGuard guard;
  std::raise(SIGTERM);
  std::raise(SIGTERM);
  EXPECT_EQ(guard.exit_status(), 128 + SIGTERM);
}

TEST(Interrupt, SeveralHangUpsAreOne) {
  InterruptGuard guard;
  std::raise(SIGHUP);
  wait_until_a_signal_counts_again();
  std::raise(SIGHUP);
  EXPECT_EQ(guard.exit_status(), 128 + SIGHUP);
}

TEST(Interrupt, AHangUpThatWasIgnoredStaysIgnored) {
  std::signal(SIGHUP, SIG_IGN);
  {
    InterruptGuard guard;
    std::raise(SIGHUP);
    EXPECT_FALSE(guard.interrupted());
    std::raise(SIGINT);
    EXPECT_TRUE(guard.interrupted());
  }
  EXPECT_EQ(std::signal(SIGHUP, SIG_DFL), SIG_IGN);
}

TEST(Interrupt, SignalsThatWereBlockedArrive) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &signals, nullptr), 0);
  InterruptGuard guard;
  std::raise(SIGTERM);
  EXPECT_TRUE(guard.interrupted());
}

TEST(InterruptDeathTest, TheSecondSignalExitsAtOnce) {
  for (const int signal : {SIGINT, SIGTERM}) {
    EXPECT_EXIT(
        {
          InterruptGuard guard;
          std::raise(signal);
          wait_until_a_signal_counts_again();
          std::raise(signal);
        },
        testing::ExitedWithCode(128 + signal), "once more to stop at once");
  }
  EXPECT_EXIT(
      {
        InterruptGuard guard;
        std::raise(SIGHUP);
        std::raise(SIGINT);
      },
      testing::ExitedWithCode(128 + SIGINT), "");
}

TEST(InterruptDeathTest, WithoutAGuardTheSystemsHandlerIsBack) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    EXPECT_EXIT(
        {
          { InterruptGuard guard; }
          std::raise(signal);
        },
        testing::KilledBySignal(signal), "");
  }
}

}  // namespace
}  // namespace mneme::tools
