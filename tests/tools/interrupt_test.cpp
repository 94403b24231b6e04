// The first Ctrl-C asks, the second one ends the program.
#include "tools/mneme/interrupt.h"

#include <gtest/gtest.h>

#include <csignal>

namespace mneme::tools {
namespace {

TEST(Interrupt, TheFirstSignalSetsTheFlag) {
  InterruptGuard guard;
  EXPECT_FALSE(guard.interrupted());
  EXPECT_EQ(guard.exit_status(), 0);
  std::raise(SIGTERM);
  EXPECT_TRUE(guard.interrupted());
  EXPECT_EQ(guard.exit_status(), 128 + SIGTERM);
}

TEST(Interrupt, ANewGuardStartsUninterrupted) {
  {
    InterruptGuard guard;
    std::raise(SIGINT);
  }
  EXPECT_FALSE(InterruptGuard().interrupted());
}

TEST(InterruptDeathTest, TheSecondSignalExitsAtOnce) {
  EXPECT_EXIT(
      {
        InterruptGuard guard;
        std::raise(SIGINT);
        std::raise(SIGINT);
      },
      testing::ExitedWithCode(128 + SIGINT), "once more to stop at once");
}

TEST(InterruptDeathTest, WithoutAGuardTheSystemsHandlerIsBack) {
  EXPECT_EXIT(
      {
        { InterruptGuard guard; }
        std::raise(SIGTERM);
      },
      testing::KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace mneme::tools
