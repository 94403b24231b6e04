// A terminal sees one line that rewrites itself; a file sees plain lines.
#include "engine/progress.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>

namespace mneme::engine {
namespace {

TEST(Progress, PlainLinesComeEverySoManyStepsWithTheFirstAndLast) {
  std::ostringstream out;
  {
    Progress progress(out, {.every = 4});
    for (std::uint64_t step = 1; step <= 10; ++step) {
      progress.update(step, 10, "step " + std::to_string(step));
    }
    progress.note("done");
  }
  EXPECT_EQ(out.str(), "step 1\nstep 4\nstep 8\nstep 10\ndone\n");
}

TEST(Progress, ATerminalLineIsRewrittenCutAndEnded) {
  std::ostringstream out;
  {
    Progress progress(out, {.terminal = true, .columns = 8, .redraw_seconds = 0});
    progress.update(1, 3, "step 1");
    progress.update(2, 3, "a line that is far too long");
    progress.note("saved");
    progress.update(3, 3, "step 3");
  }
  EXPECT_EQ(out.str(),
            "\r\x1b[Kstep 1\r\x1b[Ka line \r\x1b[Ksaved\n\r\x1b[Ka line \r\x1b[Kstep 3\n");
}

TEST(Progress, ATerminalIsNotFloodedButSeesTheLastStep) {
  std::ostringstream out;
  {
    Progress progress(out, {.terminal = true, .redraw_seconds = 1e9});
    for (std::uint64_t step = 1; step <= 1000; ++step) {
      progress.update(step, 1000, "step " + std::to_string(step));
    }
  }
  EXPECT_EQ(out.str(), "\r\x1b[Kstep 1\r\x1b[Kstep 1000\n");
}

TEST(Progress, NumbersAreWrittenForPeople) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(812), "812 B");
  EXPECT_EQ(human_bytes(1024), "1.00 KiB");
  EXPECT_EQ(human_bytes(1536.0 * 1024 * 1024), "1.50 GiB");
  EXPECT_EQ(human_bytes(64.0 * 1024 * 1024), "64.0 MiB");
  EXPECT_EQ(human_bytes(1000.0 * 1024), "0.98 MiB");
  EXPECT_EQ(human_seconds(42.4), "42s");
  EXPECT_EQ(human_seconds(59.6), "1m00s");
  EXPECT_EQ(human_seconds(200), "3m20s");
  EXPECT_EQ(human_seconds(3725), "1h02m");
}

}  // namespace
}  // namespace mneme::engine
