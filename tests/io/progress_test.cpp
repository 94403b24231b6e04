// A terminal sees one line that rewrites itself and never wraps; a file sees few plain lines.
#include "io/progress.h"

#include <gtest/gtest.h>

#include <atomic>
#include <sstream>
#include <string>
#include <thread>

#include "io/human.h"
#include "io/log.h"

namespace mneme::io {
namespace {

// A display whose time is set by hand.
class Progress : public ::testing::Test {
 protected:
  ProgressOptions options(bool terminal, std::size_t columns = 80) {
    return {.terminal = terminal,
            .columns = [columns] { return columns; },
            .redraw_seconds = 0,
            .has_thread = false,
            .clock_seconds = [this] { return time_; }};
  }
  // What the terminal's line shows: what came after the last time that it was erased.
  std::string line() const {
    const std::string text = out_.str();
    const std::size_t at = text.rfind("\x1b[K");
    return at == std::string::npos ? "" : text.substr(at + 3);
  }

  double time_ = 100;
  std::ostringstream out_;
};

TEST_F(Progress, FieldsGoByRankAndNoWordIsCut) {
  const std::vector<ProgressField> fields = {
      {"step 7/90", 0}, {"loss 2.5", 1}, {"310 tokens/s", 3}, {"2m00s left", 2}};
  EXPECT_EQ(fit_fields(fields, 80), "step 7/90  loss 2.5  310 tokens/s  2m00s left");
  EXPECT_EQ(fit_fields(fields, 45), "step 7/90  loss 2.5  310 tokens/s  2m00s left");
  EXPECT_EQ(fit_fields(fields, 44), "step 7/90  loss 2.5  2m00s left");
  EXPECT_EQ(fit_fields(fields, 30), "step 7/90  loss 2.5");
  EXPECT_EQ(fit_fields(fields, 9), "step 7/90");
  EXPECT_EQ(fit_fields(fields, 8), "");
}

TEST_F(Progress, WideCharactersCountAsTwoColumns) {
  EXPECT_EQ(fit_fields(std::vector<ProgressField>{{"日本", 0}}, 4), "日本");
  EXPECT_EQ(fit_fields(std::vector<ProgressField>{{"日本", 0}}, 3), "");
}

TEST_F(Progress, APhaseSaysHowFarItIsAndHowLongItWillStillTake) {
  Phase rows("reading rows", 400, "rows");
  EXPECT_EQ(fit_fields(rows.fields(0), 80), "reading rows: 0%  0 of 400 rows");
  EXPECT_EQ(fit_fields(rows.fields(30), 80), "reading rows: 0%  0 of 400 rows  30s so far");
  rows.reach(100);
  EXPECT_EQ(fit_fields(rows.fields(30), 80), "reading rows: 25%  100 of 400 rows  1m30s left");
  EXPECT_EQ(fit_fields(rows.fields(30), 35), "reading rows: 25%  1m30s left");
  EXPECT_EQ(fit_fields(rows.fields(30), 20), "reading rows: 25%");
  EXPECT_EQ(fit_fields(rows.fields(30), 10), "25%");
  rows.add(400);  // more than was known
  EXPECT_EQ(fit_fields(rows.fields(30), 80), "reading rows: 100%  500 of 400 rows  0s left");
  Phase bytes("reading x", 3 << 20);
  bytes.reach(1 << 20);
  EXPECT_EQ(fit_fields(bytes.fields(2), 80), "reading x: 33%  1.00 MiB of 3.00 MiB  4s left");
  const Phase unknown("waiting for the disk");
  EXPECT_EQ(fit_fields(unknown.fields(75), 80), "waiting for the disk: 1m15s so far");
}

TEST_F(Progress, WithoutADisplayNothingIsPrinted) {
  Phase phase("reading", 10);
  phase.reach(5);
  ProgressDisplay display(out_, options(true));
  std::thread other([] { const Phase unseen("of a thread that has no display"); });
  other.join();
  time_ += 100;
  display.tick();
  EXPECT_EQ(out_.str(), "");
}

TEST_F(Progress, APipeGetsOneLineInTenSecondsAndNoneForShortWork) {
  {
    ProgressDisplay display(out_, options(false));
    for (int part = 0; part < 3; ++part) {
      const Phase phase("part " + std::to_string(part));
      time_ += 3;
      display.tick();
    }
    EXPECT_EQ(out_.str(), "");
    Phase phase("the rest", 200, "rows");
    for (std::uint64_t second = 1; second <= 22; ++second) {
      time_ += 1;
      phase.reach(10 * second);
      display.tick();
    }
  }
  EXPECT_EQ(out_.str(),
            "the rest: 5%  10 of 200 rows  19s left\n"
            "the rest: 55%  110 of 200 rows  9s left\n"
            "the rest: 100%  210 of 200 rows  0s left\n");
}

TEST_F(Progress, ATerminalShowsThePhaseOnceItLastsAndThenWhatWasThereBefore) {
  {
    ProgressDisplay display(out_, options(true, 30));
    display.show({{"step 1/3", 0}}, true);
    EXPECT_EQ(line(), "step 1/3");
    {
      const Phase save("saving step 1");
      const Phase rows("rows", 8, "rows");
      display.tick();
      EXPECT_EQ(line(), "step 1/3") << "not for work that is soon over";
      time_ += 0.6;
      display.tick();
      EXPECT_EQ(line(), "rows: 0%  0 of 8 rows") << "no room for more";
    }
    EXPECT_EQ(line(), "step 1/3");
    {
      const Phase again("a line that is far too long for this terminal", 4);
      time_ += 2;
      display.tick();
      EXPECT_EQ(line(), "0%");
    }
  }
  EXPECT_EQ(line(), "step 1/3\n");
}

TEST_F(Progress, PhasesThatNestAreNamedFromTheOutermostOn) {
  ProgressDisplay display(out_, options(false));
  const Phase save("saving step 100");
  Phase rows("rows", 8, "rows");
  rows.reach(2);
  time_ += 20;
  display.tick();
  EXPECT_EQ(out_.str(), "saving step 100, rows: 25%  2 of 8 rows  1m00s left\n");
}

TEST_F(Progress, APhaseThatEndsLeavesNothingOnAnEmptyLine) {
  {
    ProgressDisplay display(out_, options(true));
    const Phase phase("reading");
    time_ += 1;
    display.tick();
    EXPECT_EQ(line(), "reading: 1s so far");
  }
  EXPECT_EQ(line(), "");
}

TEST_F(Progress, NotesAndWarningsStandOnLinesOfTheirOwn) {
  ProgressDisplay display(out_, options(true));
  display.show({{"step 1/3", 0}}, true);
  display.note("saved");
  EXPECT_EQ(out_.str(), "\r\x1b[Kstep 1/3\r\x1b[Ksaved\n\r\x1b[Kstep 1/3");
  std::string before;
  print_beside_progress([&] { before = line(); });
  EXPECT_EQ(before, "");
  EXPECT_EQ(line(), "step 1/3");
}

TEST_F(Progress, ATerminalIsNotFloodedButSeesTheLastStep) {
  ProgressOptions seldom = options(true);
  seldom.redraw_seconds = 1e8;
  {
    ProgressDisplay display(out_, seldom);
    for (int step = 1; step <= 1000; ++step) {
      display.show({{"step " + std::to_string(step), 0}}, true);
    }
  }
  EXPECT_EQ(out_.str(), "\r\x1b[Kstep 1\r\x1b[Kstep 1000\n");
}

TEST_F(Progress, APipeGetsTheLinesThatAreDueAndOneAMinuteBesides) {
  ProgressDisplay display(out_, options(false));
  for (int step = 1; step <= 8; ++step) {
    time_ += 25;
    display.show({{"step " + std::to_string(step), 0}}, step % 4 == 0);
  }
  EXPECT_EQ(out_.str(), "step 3\nstep 4\nstep 7\nstep 8\n");
}

// Counts what is drawn, for another thread to see.
class CountingBuffer : public std::stringbuf {
 public:
  int drawn() const { return drawn_; }

 protected:
  int sync() override {
    ++drawn_;
    return 0;
  }

 private:
  std::atomic<int> drawn_{0};
};

TEST_F(Progress, TheDisplaysThreadDrawsWhileTheWorkIsSilent) {
  CountingBuffer buffer;
  std::ostream seen(&buffer);
  {
    ProgressDisplay display(
        seen, {.terminal = true, .columns = {}, .quiet_seconds = 0, .clock_seconds = {}});
    const Phase phase("silent work");
    for (int waits = 0; buffer.drawn() == 0 && waits < 10000; ++waits) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  EXPECT_NE(buffer.str().find("silent work"), std::string::npos);
}

TEST(Human, NumbersAreWrittenForPeople) {
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
}  // namespace mneme::io
