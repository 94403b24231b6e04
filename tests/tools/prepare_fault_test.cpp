// mneme prepare killed, stopped by a signal, and on a full disk: the same command then goes on to
// the bytes that it would have made.
#include <csignal>
#include <filesystem>
#include <map>

#include "tests/fault_injection/fault.h"
#include "tests/io/temporary_directory.h"
#include "tests/tools/program.h"

namespace mneme::test {
namespace {

namespace fs = std::filesystem;
using Files = std::map<std::string, std::string>;

class PrepareFaults : public ::testing::Test {
 protected:
  PrepareFaults() {
    std::ofstream lines(folder_.file("a.jsonl"));
    for (int i = 0; i < 6000; ++i) {
      lines << "{\"text\": \"" << std::string(std::size_t(i % 1500), char('a' + i % 26)) << i
            << "\"}\n";
    }
    lines.close();
    EXPECT_EQ(run("expected").status, 0);
    expected_ = files("expected");
    EXPECT_EQ(expected_.size(), 7u) << "five shards and validation";
  }

  Finished run(const std::string& output, const Fault* fault = nullptr) {
    const std::vector<std::string> words = {"prepare",
                                            folder_.file("a.jsonl"),
                                            "--tokenizer",
                                            "bytes",
                                            "--validation-share",
                                            "0.05",
                                            "-o",
                                            folder_.file(output),
                                            "--separator",
                                            "0",
                                            "--shard-tokens",
                                            "999999",
                                            "--threads",
                                            "2"};
    return Program(folder_.path(), mneme(words),
                   fault != nullptr ? settings(*fault, folder_.file("report"))
                                    : std::vector<std::string>())
        .wait_a_minute();
  }
  Files files(const std::string& output) const {
    Files all;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.file(output))) {
      if (!entry.is_regular_file()) continue;
      all[fs::relative(entry.path(), folder_.file(output))] = text_of(entry.path());
    }
    return all;
  }
  bool struck() const {
    return text_of(folder_.file("report")).find("struck ") != std::string::npos;
  }
  void expect_goes_on(const std::string& output) {
    EXPECT_FALSE(fs::exists(folder_.file(output)));
    const Finished finished = run(output);
    EXPECT_EQ(finished.status, 0) << finished.error;
    EXPECT_EQ(files(output), expected_);
    EXPECT_FALSE(fs::exists(folder_.file(output + ".mneme-partial")));
  }

  TemporaryDirectory folder_;
  Files expected_;
};

TEST_F(PrepareFaults, AKillLosesNothing) {
  const auto at = [](const char* functions, std::uint64_t call, const char* path,
                     Fault::When when = Fault::When::kBefore) {
    return Fault{
        .functions = functions, .action = "SIGKILL", .call = call, .path = path, .when = when};
  };
  int number = 0;
  for (const Fault& fault :
       {at("write", 1, "*/train_000000.bin.partial"), at("write", 1, "*/train_000002.bin.partial"),
        at("rename", 1, "*/train_000001.bin"),
        at("rename", 1, "*/train_000001.bin", Fault::When::kAfter),
        at("write", 1, "*/val_000000.bin.partial"), at("rename", 1, "*/request.json"),
        at("rename", 1, "*/dataset.json"), at("remove", 1, "*/progress.json")}) {
    const std::string output = "killed-" + std::to_string(number++);
    const Finished killed = run(output, &fault);
    ASSERT_TRUE(struck()) << fault.functions << " " << fault.path;
    EXPECT_EQ(killed.status, -SIGKILL) << killed.error;
    expect_goes_on(output);
  }
}

TEST_F(PrepareFaults, ASignalStopsItAndItGoesOnFromThere) {
  const Fault fault{
      .functions = "write", .action = "SIGTERM", .call = 1, .path = "*/train_000001.bin.partial"};
  const Finished stopped = run("made", &fault);
  ASSERT_TRUE(struck());
  EXPECT_EQ(stopped.status, 128 + SIGTERM) << stopped.error;
  EXPECT_NE(stopped.error.find("the same command goes on from here"), std::string::npos);
  EXPECT_TRUE(fs::exists(folder_.file("made.mneme-partial/progress.json")));
  const Finished finished = run("made");
  EXPECT_EQ(finished.status, 0) << finished.error;
  EXPECT_NE(finished.output.find(", where the work went on"), std::string::npos) << finished.output;
  EXPECT_EQ(files("made"), expected_);
}

TEST_F(PrepareFaults, AFullDiskAndADyingDiskAreErrorsFromWhichItGoesOn) {
  int number = 0;
  for (const char* action : {"ENOSPC+", "EIO+"}) {
    for (const char* functions : {"write", "fdatasync", "rename", "mkdir"}) {
      const Fault fault{.functions = functions,
                        .action = action,
                        .call = 2,
                        .path = folder_.file("*mneme-partial*")};
      const std::string output = "full-" + std::to_string(number++);
      const Finished refused = run(output, &fault);
      ASSERT_TRUE(struck()) << functions;
      EXPECT_EQ(refused.status, 1) << refused.error;
      EXPECT_EQ(refused.error.rfind("error: ", 0), 0u) << refused.error;
      EXPECT_NE(refused.error.find("; "), std::string::npos) << refused.error;
      expect_goes_on(output);
    }
  }
}

}  // namespace
}  // namespace mneme::test
