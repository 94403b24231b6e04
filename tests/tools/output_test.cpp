// What is printed arrives, or the exit status says that it did not; what a run prints never decides
// whether its work is kept.
#include <sys/stat.h>

#include <chrono>
#include <thread>

#include "engine/run_files.h"
#include "io/posix_file.h"
#include "tests/tools/bad_input.h"
#include "tests/tools/shell.h"

namespace mneme::test {
namespace {

class Output : public BadInput {
 protected:
  // Ends when it is told to.
  Output() {
    config_.train.steps = 1000000;
    config_.train.schedule = engine::ScheduleKind::kConstant;
    config_.checkpoint.every = 0;
    config_.evaluation.every = 0;
    config_.sample.every = 1;
    config_.sample.tokens = 8;
  }

  Finished in(const std::string& line, const Words& words) {
    return Program(folder_, in_shell(line, words)).wait();
  }
  void finish_in_two_steps() {
    config_.train.steps = 2;
    write_config();
  }
  bool is_saved() {
    return engine::manifest_exists(run_.disk(), engine::checkpoints_directory(directory()));
  }
  std::size_t metrics_bytes() const { return text_of(directory() + "/metrics.jsonl").size(); }
  // A run that never gets there fails its test instead of holding it up.
  static void wait_until(const std::function<bool()>& reached) {
    for (int waits = 0; !reached(); ++waits) {
      ASSERT_LT(waits, 20000) << "waited in vain";
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  void wait_for_steps() const {
    wait_until([&] { return metrics_bytes() >= 1000; });
  }
};

TEST_F(Output, AResultThatIsLostIsAnErrorOfEveryCommand) {
  finish_in_two_steps();
  ASSERT_EQ(run({"train", file()}).status, 0);
  const std::vector<Words> commands = {
      {"--help"},
      {"--version"},
      {"train", "--help"},
      {"train", "--help-config"},
      {"eval", directory()},
      {"eval", directory(), "--json"},
      {"generate", directory(), "--tokens", "2"},
      {"verify", directory()},
      {"inspect", directory()},
      {"bench", "disk", "--path", run_.path("bench"), "--file-bytes", "64KiB", "--record-bytes",
       "4096", "--seconds", "0.01"},
      {"bench", "rows", "--path", run_.path("bench"), "--rows", "64", "--steps", "1", "--device",
       "cpu", "--threads", "1", "--tokens", "2", "--rows-per-token", "2"},
      {"bench", "model", file(), "--steps", "1", "--warm-up", "0"}};
  for (const Words& command : commands) {
    SCOPED_TRACE(command.front() + (command.size() > 1 ? " " + command[1] : ""));
    const auto fails = [&](const char* line, const char* part) {
      expect_error(in(line, command), 1, {"cannot write the output: ", part}, true);
    };
    fails("exec $M >/dev/full", "No space left on device");
    fails("exec $M >&-", "standard output is closed");
  }
}

TEST_F(Output, AResultThatNobodyReadsIsAnError) {
  // The reader is gone before anything is written.
  const Finished finished =
      in("{ sleep 0.3; $M; echo $? >&2; } | true", {"train", "--help-config"});
  EXPECT_NE(finished.error.find("nobody reads standard output"), std::string::npos);
  EXPECT_TRUE(finished.error.ends_with("\n1\n")) << finished.error;
}

TEST_F(Output, ARunWithoutStandardDescriptorsPrintsIntoNoneOfItsFiles) {
  finish_in_two_steps();
  ASSERT_EQ(run({"train", file()}).status, 0);
  const auto expected = run_.outcome(config_);
  fs::remove_all(directory());
  EXPECT_EQ(in("exec $M <&- >&- 2>&-", {"train", file()}).status, 0);
  EXPECT_EQ(run({"verify", directory()}).status, 0);
  expect_same(run_.outcome(config_), expected);
}

TEST_F(Output, ARunWhoseReaderIsGoneStopsWithACheckpoint) {
  write_config();
  for (const char* line : {"{ $M; echo $? >status; } | head -n 1",
                           "{ $M 2>&1 >/dev/null; echo $? >status; } | head -n 1"}) {
    SCOPED_TRACE(line);
    in("cd \"$(dirname \"$2\")\"; " + std::string(line), {"train", file()});
    EXPECT_EQ(text_of(run_.path("status")), "0\n");
    EXPECT_TRUE(is_saved());
    fs::remove_all(directory());
  }
}

TEST_F(Output, ARunWhoseSamplesAreLostFailsAfterItsCheckpoint) {
  finish_in_two_steps();
  const Finished finished = in("exec $M >/dev/full", {"train", file()});
  expect_error(finished, 1, {"cannot write the output", "No space left on device"}, true);
  EXPECT_TRUE(is_saved());
}

TEST_F(Output, ASignalEndsARunWhoseReaderHasStoppedReading) {
  config_.sample.tokens = 200;
  write_config();
  ASSERT_EQ(::mkfifo(run_.path("pipe").c_str(), 0600), 0);
  const io::Descriptor reader(::open(run_.path("pipe").c_str(), O_RDONLY | O_NONBLOCK));
  Program program(folder_, in_shell("exec $M >\"${2%/*}/pipe\"", {"train", file()}));
  // Once the pipe is full, the metrics stand still.
  for (std::size_t last = 0; metrics_bytes() < 1000 || metrics_bytes() != last;) {
    last = metrics_bytes();
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
  }
  program.send(SIGTERM);
  const Finished finished = program.wait();
  EXPECT_EQ(finished.status, 0) << finished.error;
  EXPECT_TRUE(is_saved());
}

TEST_F(Output, EverySignalEndsARunWithACheckpoint) {
  write_config();
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    SCOPED_TRACE(signal);
    Program program(folder_, mneme({"train", file()}));
    wait_for_steps();
    program.send(signal);
    const Finished finished = program.wait();
    EXPECT_EQ(finished.status, 0) << finished.error;
    EXPECT_NE(finished.error.find("mneme resume"), std::string::npos) << finished.error;
    EXPECT_TRUE(is_saved());
    fs::remove_all(directory());
  }
}

TEST_F(Output, ARunUnderNohupOutlivesItsTerminal) {
  write_config();
  Program program(folder_, in_shell("trap '' HUP; exec $M", {"train", file()}));
  wait_for_steps();
  program.send(SIGHUP);
  const std::size_t before = metrics_bytes();
  wait_until([&] { return metrics_bytes() > before; });
  program.send(SIGTERM);
  EXPECT_EQ(program.wait().status, 0);
}

}  // namespace
}  // namespace mneme::test
