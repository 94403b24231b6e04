// Starts that fail leave the folder as it was, and where there is no checkpoint every command says
// so; what a run prints of its beginning and its checkpoints.
#include <elf.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <sstream>

#include "engine/run_directory.h"
#include "tests/tools/bad_input.h"
#include "tests/tools/shell.h"

namespace mneme::test {
namespace {

class Start : public BadInput {
 protected:
  // Everything below the test's folder but what the program prints into, with its content.
  std::map<std::string, std::string> files() const {
    std::map<std::string, std::string> all;
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
      const std::string path = entry.path().string();
      if (path == folder_ + "out" || path == folder_ + "error" || path == folder_ + "/out" ||
          path == folder_ + "/error") {
        continue;
      }
      all[path] = entry.is_regular_file() ? text_of(path) : "";
    }
    return all;
  }
  void expect_nothing_made(const Words& words, const Words& parts) {
    const auto before = files();
    expect_error(run(words), 1, parts, true);
    EXPECT_EQ(files(), before);
  }
  Words train_with(const std::string& setting) const { return {"train", file(), "--set", setting}; }
  void leave_without_a_checkpoint() {
    engine::TrainerOptions options;
    options.on_step = [](const engine::StepMetrics& metrics) {
      if (metrics.step == 3) throw io::Error("the lights went out");
    };
    config_.checkpoint.every = 0;
    EXPECT_THROW(run_.train(config_, options), io::Error);
  }
  // What a command prints to standard error, but for where it runs.
  std::string said(const Words& words) {
    std::istringstream lines(run(words).error);
    std::string rest;
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("info: running on the CPU") && !line.starts_with("on cpu"))
        rest += line + "\n";
    }
    return rest;
  }
  static std::size_t count(const std::string& text, const std::string& part) {
    std::size_t found = 0;
    for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
    return found;
  }
};

TEST_F(Start, ThatFailsMakesNothing) {
  config_.run.directory = run_.path("new/folders/run");
  write_config();
  expect_nothing_made(train_with("tiers.disk_bytes=2KiB"), {"tiers.disk_bytes"});  // in step 1
  expect_nothing_made(train_with("run.device=cuda"), {"run.device"});
  expect_nothing_made(train_with("data.path=" + run_.path("nowhere")), {"nowhere"});
  expect_nothing_made(train_with("run.threads=4096"), {"run.threads"});
  expect_nothing_made(
      {"train", file(), "--set", "memory.half_keys=30000", "--set", "tiers.device_bytes=1TiB"},
      {"tiers.device_bytes = 1TiB", "of the machine's memory"});
  EXPECT_EQ(run(train_with("tiers.device_bytes=1TiB")).status, 0) << "the table is small";
}

TEST_F(Start, ThatFailsLeavesWhatIsTheUsers) {
  fs::create_directories(directory());
  put(directory() + "/notes.md", "mine");
  fs::create_symlink("nowhere", directory() + "/checkpoints");
  expect_nothing_made({"train", file()}, {"checkpoints"});
  fs::remove(directory() + "/checkpoints");
  expect_nothing_made(train_with("tiers.disk_bytes=2KiB"), {"tiers.disk_bytes"});
  fs::create_directories(directory() + "/checkpoints");
  fs::create_symlink("nowhere", directory() + "/rows");
  expect_nothing_made({"train", file()}, {"rows"});
  fs::remove(directory() + "/rows");
  EXPECT_EQ(run({"train", file()}).status, 0);
  EXPECT_EQ(text_of(directory() + "/notes.md"), "mine");
}

TEST_F(Start, ThatTheFileSystemHasNoRoomForMakesNothing) {
  const auto before = files();
  const Finished finished =
      Program(folder_, in_shell("ulimit -f 0; exec $M 2>\"${2%/*}/said\"", {"train", file()}))
          .wait();
  EXPECT_EQ(finished.status, 1);
  fs::remove(run_.path("said"));
  EXPECT_EQ(files(), before);
}

TEST_F(Start, ThatFailsAgainStillLeavesAnUnfinishedRunThatCanBeStarted) {
  leave_without_a_checkpoint();
  expect_error(run(train_with("tiers.disk_bytes=2KiB")), 1, {"tiers.disk_bytes"}, true);
  write_config();
  EXPECT_EQ(run({"train", file()}).status, 0);
  EXPECT_EQ(run({"verify", directory()}).status, 0);
}

TEST_F(Start, OfAResumeThatFailsChangesNothing) {
  train_until(3);
  for (const std::string name : {"LOCK", "checkpoints/LOCK", "rows/LOCK"}) {
    fs::remove(directory() + "/" + name);
  }
  expect_nothing_made({"resume", directory(), "--set", "data.path=" + run_.path("nowhere")},
                      {"nowhere"});
  EXPECT_EQ(run({"resume", directory()}).status, 0);
}

TEST_F(Start, WithoutACheckpointEveryCommandSaysWhatToDo) {
  const std::string exported = run_.path("x.safetensors");
  fs::create_directory(run_.path("empty"));
  put(run_.path("file"), "mine");
  leave_without_a_checkpoint();
  const std::map<std::string, std::string> problems = {
      {run_.path("missing"), "there is no such folder"},
      {run_.path("empty"), "is no run directory"},
      {run_.path("file"), "is a file"},
      {directory(), "has no checkpoint yet"}};
  for (const auto& [path, problem] : problems) {
    for (const Words& words :
         {Words{"resume", path}, Words{"eval", path}, Words{"generate", path},
          Words{"export", path, "-o", exported}, Words{"verify", path}, Words{"inspect", path}}) {
      SCOPED_TRACE(words[0] + " " + path);
      // It shows what there is, and takes a file for a configuration.
      if (words[0] == "inspect" && (path == directory() || path == run_.path("file"))) continue;
      expect_refused(words, {path, problem, "mneme train"});
    }
  }
  const Finished inspected = run({"inspect", directory()});
  EXPECT_EQ(inspected.status, 0) << inspected.error;
  EXPECT_NE(inspected.output.find("no checkpoint yet; 3 steps"), std::string::npos);
  EXPECT_NE(inspected.output.find("256 table rows"), std::string::npos) << inspected.output;
  EXPECT_NE(run({"inspect", directory(), "--json"}).output.find("\"checkpoints\":[]"),
            std::string::npos);
}

TEST_F(Start, AndEveryCheckpointIsNamed) {
  Finished finished = run({"train", file()});
  EXPECT_EQ(finished.status, 0) << finished.error;
  const std::string folder = engine::checkpoints_directory(directory());
  for (const int step : {2, 4, 6, 8}) {
    const std::string line = "checkpoint of step " + std::to_string(step) + " in " + folder + "\n";
    EXPECT_EQ(count(finished.error, line), 1u) << finished.error;
  }
  finished = run({"resume", directory(), "--step", "6"});
  EXPECT_EQ(finished.status, 0) << finished.error;
  EXPECT_EQ(count(finished.error, directory() + ": going on after step 6 of 8\n"), 1u)
      << finished.error;
  EXPECT_EQ(count(finished.error, "checkpoint of step 8 in " + folder), 1u);
}

TEST_F(Start, CommandsThatAreSoonOverPrintNoProgress) {
  ASSERT_EQ(run({"train", file()}).status, 0);
  for (const Words& words :
       {Words{"verify", directory()}, Words{"inspect", directory()}, Words{"eval", directory()},
        Words{"generate", directory(), "--tokens", "4"}}) {
    EXPECT_EQ(said(words), "") << words[0];
  }
  const std::string exported = said({"export", directory(), "-o", run_.path("x.safetensors")});
  EXPECT_EQ(std::count(exported.begin(), exported.end(), '\n'), 1) << exported;
}

TEST_F(Start, InspectSaysInWhichTierTheRowsWere) {
  ASSERT_EQ(run({"train", file()}).status, 0);
  const std::string text = run({"inspect", directory()}).output;
  EXPECT_EQ(count(text, "rows when it was saved: "), 2u) << text;
  EXPECT_NE(text.find(" on disk alone, "), std::string::npos) << text;
  EXPECT_NE(run({"inspect", directory(), "--json"}).output.find("\"rows\":{\"device\":"),
            std::string::npos);
}

// A handler that had to look for a function while the thread below it does could leave a third
// thread's dlopen without its wake-up (CMakeLists.txt).
TEST(StartedProgram, HasAllItsFunctionsFromTheStart) {
  const std::string file = text_of(MNEME_PROGRAM);
  const auto at = [&](std::uint64_t offset, auto value) {
    if (offset + sizeof value <= file.size()) {
      std::memcpy(&value, file.data() + offset, sizeof value);
    } else {
      ADD_FAILURE() << "ends before byte " << offset;
    }
    return value;
  };
  const auto header = at(0, Elf64_Ehdr{});
  std::uint64_t flags = 0;
  for (std::uint64_t i = 0; i < header.e_phnum; ++i) {
    const auto segment = at(header.e_phoff + i * sizeof(Elf64_Phdr), Elf64_Phdr{});
    if (segment.p_type != PT_DYNAMIC) continue;
    for (std::uint64_t entry = 0; entry < segment.p_filesz; entry += sizeof(Elf64_Dyn)) {
      const auto dynamic = at(segment.p_offset + entry, Elf64_Dyn{});
      if (dynamic.d_tag == DT_FLAGS_1) flags = dynamic.d_un.d_val;
    }
  }
  EXPECT_TRUE(flags & DF_1_NOW);
}

}  // namespace
}  // namespace mneme::test
