// Signals at chosen moments: inside a save, a step, an evaluation, an export. Training ends with a
// checkpoint and goes on to the same bits; whatever else was at work leaves nothing half-made.
#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/fault_injection/fault.h"
#include "tests/tools/bad_input.h"

namespace mneme::test {
namespace {

class SignalMoments : public BadInput {
 protected:
  Finished run_with(const Words& words, const Fault& fault) {
    report_ = run_.path("report");
    return Program(folder_, mneme(words), settings(fault, report_)).wait();
  }
  bool struck() const { return text_of(report_).find("struck ") != std::string::npos; }

  std::string report_;
};

TEST_F(SignalMoments, TrainingEndsWithACheckpointWhereverTheSignalComes) {
  config_.evaluation.every = 3;
  config_.sample.every = 3;
  config_.sample.tokens = 5;
  write_config();
  const auto expected = uninterrupted();
  const std::vector<Fault> moments = {
      {.functions = "pread", .call = 1},  // wherever that is
      {.functions = "write", .call = 3, .path = "*/metrics.jsonl"},
      {.functions = "pwrite", .call = 1, .path = "*/dense-*"},
      {.functions = "fdatasync", .call = 1, .path = "*/table-0.rows"},
      {.functions = "rename", .call = 1, .path = "*/manifest.json"},
      {.functions = "rename", .call = 2, .path = "*/manifest.json", .when = Fault::When::kAfter},
      {.functions = "remove", .call = 1, .path = "*/checkpoints/*"},
      {.functions = "write", .call = 4, .path = "*/error"}};
  const std::vector<std::string> signals = {"SIGINT", "SIGTERM", "SIGHUP"};
  int number = 0, strikes = 0;
  for (Fault moment : moments) {
    moment.action = signals[std::size_t(number) % signals.size()];
    SCOPED_TRACE(moment.action + " at " + moment.functions + " of " + moment.path);
    config_.run.directory = run_.path("run-" + std::to_string(number++));
    write_config();
    const Finished stopped = run_with({"train", file()}, moment);
    EXPECT_EQ(stopped.status, 0) << stopped.error;
    if (!struck()) continue;
    ++strikes;
    EXPECT_EQ(run({"verify", directory()}).status, 0);
    const Finished resumed = run({"resume", directory()});
    EXPECT_EQ(resumed.status, 0) << resumed.error;
    expect_same(run_.outcome(config_), expected);
  }
  EXPECT_GE(strikes, 5);
}

TEST_F(SignalMoments, AnExportLeavesTheOldFileOrNone) {
  run_.train(config_);
  const std::string path = run_.path("x.safetensors");
  const Words words = {"export", directory(), "-o", path, "--untouched"};
  for (const bool exported : {false, true}) {
    if (exported) {
      ASSERT_EQ(run({"export", directory(), "-o", path}).status, 0);
    }
    const std::string before = exported ? text_of(path) : "";
    // The first thing that it makes.
    const Finished stopped = run_with(words, {.functions = "fallocate|ftruncate",
                                              .action = "SIGINT",
                                              .call = 1,
                                              .path = "*/x.safetensors*"});
    ASSERT_TRUE(struck()) << text_of(report_);
    EXPECT_EQ(stopped.status, 128 + SIGINT) << stopped.error;
    EXPECT_EQ(fs::exists(path), exported);
    if (exported) {
      EXPECT_EQ(text_of(path), before);
    }
    EXPECT_FALSE(fs::exists(path + ".mneme-partial"));
  }
  ASSERT_EQ(run(words).status, 0);
}

TEST_F(SignalMoments, AnInterruptedProfileReportsWhatItHas) {
  const std::string page = directory() + "-profile/report.html";
  for (const std::uint64_t line : {1, 4}) {
    const Finished stopped = run_with(
        {"profile", file(), "--warm-up", "2", "--steps", "6", "--json"},
        {.functions = "write", .action = "SIGINT", .call = line, .path = "*/metrics.jsonl"});
    ASSERT_TRUE(struck()) << text_of(report_);
    ASSERT_EQ(stopped.status, 0) << stopped.error;
    const nlohmann::json told = nlohmann::json::parse(stopped.output);
    EXPECT_LT(told.at("last_step"), 8);
    // One that was still warming up reports on what there is.
    EXPECT_EQ(told.at("first_step"), line == 1 ? 1 : 3);
    EXPECT_TRUE(fs::exists(page));
  }
}

TEST_F(SignalMoments, CommandsThatReadEndAtOnce) {
  run_.train(config_);
  for (const Words& words :
       {Words{"eval", directory()}, Words{"generate", directory(), "--tokens", "100000"}}) {
    SCOPED_TRACE(words[0]);
    const Finished stopped = run_with(
        words, {.functions = "pread", .action = "SIGTERM", .call = 1, .path = "*/dense-*"});
    ASSERT_TRUE(struck()) << text_of(report_);
    EXPECT_EQ(stopped.status, 128 + SIGTERM) << stopped.error;
  }
}

}  // namespace
}  // namespace mneme::test
