// An emulated link is a queue with a clock.
#include "io/emulated_link.h"

#include <gtest/gtest.h>

namespace mneme::io {
namespace {

using Clock = EmulatedLink::Clock;
using std::chrono::milliseconds;

TEST(EmulatedLink, ATransferTakesItsBytesOverTheSpeed) {
  EmulatedLink link(1e6);
  const Clock::time_point now(milliseconds(500));
  EXPECT_EQ(link.transfer(now, 2000), now + milliseconds(2));
}

TEST(EmulatedLink, TransfersWaitForThoseBefore) {
  EmulatedLink link(1e6);
  const Clock::time_point now(milliseconds(500));
  link.transfer(now, 2000);
  EXPECT_EQ(link.transfer(now, 3000), now + milliseconds(5));
  EXPECT_EQ(link.transfer(now + milliseconds(1), 1000), now + milliseconds(6));
  EXPECT_EQ(link.transfer(now + milliseconds(10), 1000), now + milliseconds(11)) << "free again";
}

TEST(EmulatedLink, WithoutASpeedEverythingIsThroughAtOnce) {
  EmulatedLink link(0);
  const Clock::time_point now(milliseconds(500));
  EXPECT_FALSE(link.is_emulated());
  EXPECT_EQ(link.transfer(now, 1 << 30), now);
  EXPECT_EQ(link.transfer(now, 1 << 30), now);
}

}  // namespace
}  // namespace mneme::io
