// Runs that may only be read, lie elsewhere than they were trained, or whose files an output would
// take the place of.
#include <filesystem>

#include "tests/tools/bad_input.h"

namespace mneme::test {
namespace {

class RunAccess : public BadInput {
 protected:
  // Runs the program as a user who owns none of the files.
  Finished run_as_nobody(const Words& words) {
    Words command = mneme(words);
    if (::geteuid() == 0) {
      const Words as = {"/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"};
      command.insert(command.begin(), as.begin(), as.end());
    }
    return Program(folder_, command).wait();
  }
  void allow_only_reading(const std::string& path) {
    using fs::perms;
    const perms read = perms::owner_read | perms::group_read | perms::others_read;
    const perms enter = perms::owner_exec | perms::group_exec | perms::others_exec;
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      fs::permissions(entry.path(), entry.is_directory() ? read | enter : read);
    }
    fs::permissions(path, read | enter);
    fs::permissions(run_.path(""), read | enter | perms::owner_write);
  }
  void train_all() { run_.train(config_); }
};

TEST_F(RunAccess, ARunThatMayOnlyBeReadServesEveryCommandThatReads) {
  train_all();
  allow_only_reading(directory());
  fs::create_directory(run_.path("exported"));
  fs::permissions(run_.path("exported"), fs::perms::all);
  for (const Words& words :
       {Words{"verify", directory()}, Words{"inspect", directory()}, Words{"eval", directory()},
        Words{"generate", directory(), "--tokens", "4"},
        Words{"export", directory(), "-o", run_.path("exported/x.safetensors")}}) {
    SCOPED_TRACE(words[0]);
    const Finished finished = run_as_nobody(words);
    EXPECT_EQ(finished.status, 0) << finished.error;
  }
}

TEST_F(RunAccess, FoldersThatCannotBeWrittenAreFoundBeforeTheFirstStep) {
  for (const std::string name : {"rows", "checkpoints"}) {
    SCOPED_TRACE(name);
    config_.run.directory = run_.path("without-" + name);
    write_config();
    const std::string folder = directory() + "/" + name;
    fs::create_directories(folder);
    fs::permissions(folder, fs::perms::owner_read | fs::perms::owner_exec | fs::perms::others_read |
                                fs::perms::others_exec);
    fs::permissions(directory(), fs::perms::all);
    fs::permissions(run_.path(""), fs::perms::all);
    const Finished finished = run_as_nobody({"train", file()});
    EXPECT_EQ(finished.status, 1);
    EXPECT_NE(finished.error.find(folder), std::string::npos) << finished.error;
    EXPECT_EQ(finished.error.find("step 1/"), std::string::npos) << finished.error;
  }
}

TEST_F(RunAccess, ARunOnADiskOfOtherBlocksIsReadAndGoesOn) {
  const fs::path memory = "/dev/shm";
  if (!fs::is_directory(memory)) GTEST_SKIP() << "no file system without direct I/O here";
  train_until(3);
  const std::string moved = (memory / ("mneme-moved-" + std::to_string(::getpid()))).string();
  fs::copy(directory(), moved, fs::copy_options::recursive);
  struct Remove {
    std::string path;
    ~Remove() { fs::remove_all(path); }
  } remove{moved};
  for (const Words& words : {Words{"verify", moved}, Words{"eval", moved},
                             Words{"export", moved, "-o", run_.path("x.safetensors")},
                             Words{"resume", moved}, Words{"verify", moved}}) {
    const Finished finished = run(words);
    EXPECT_EQ(finished.status, 0) << words[0] << ": " << finished.error;
  }
  Config at = config_;
  at.run.directory = moved;
  expect_same(run_.outcome(at), uninterrupted());
}

TEST_F(RunAccess, AnExportTakesNoOtherFilesPlace) {
  train_all();
  const std::string dense = newest_dense();
  Config other = config_;
  other.run.directory = run_.path("other");
  run_.train(other);
  const std::string other_dense = engine::checkpoints_directory(other.run.directory) + "/" +
                                  fs::path(dense).filename().string();
  const std::string mine = run_.path("mine.txt");
  put(mine, "mine");
  fs::create_directory(run_.path("folder"));
  ASSERT_EQ(::mkfifo(run_.path("pipe").c_str(), 0644), 0);
  for (const std::string& path :
       {dense, checkpoint("manifest.json"), checkpoint("new.safetensors"), rows(),
        directory() + "/rows/x", directory() + "/config.toml", directory() + "/metrics.jsonl",
        directory() + "/LOCK", other_dense,
        engine::checkpoints_directory(other.run.directory) + "/dense-0000000099.safetensors", mine,
        config_.data.path, run_.path("folder"), run_.path("pipe"), std::string("/dev/null"),
        run_.path("nowhere/x")}) {
    SCOPED_TRACE(path);
    const std::string before = fs::is_regular_file(path) ? text_of(path) : "";
    expect_refused({"export", directory(), "-o", path}, {path});
    EXPECT_EQ(fs::is_regular_file(path) ? text_of(path) : "", before);
  }
  ASSERT_TRUE(fs::is_character_file("/dev/null"));
  for (const std::string& name : {directory(), other.run.directory}) {
    EXPECT_EQ(run({"verify", name}).status, 0) << name;
  }
}

TEST_F(RunAccess, AFailedExportLeavesTheOldFileOrNone) {
  train_all();
  const std::string path = run_.path("x.safetensors");
  const std::string command = "ulimit -f 20; exec '" + std::string(MNEME_PROGRAM) + "' export '" +
                              directory() + "' -o '" + path + "' --untouched";
  const Words limited = {"/bin/bash", "-c", command};
  expect_error(Program(folder_, limited).wait(), 1, {path}, true);
  EXPECT_FALSE(fs::exists(path));
  ASSERT_EQ(run({"export", directory(), "-o", path}).status, 0);
  const std::string whole = text_of(path);
  expect_error(Program(folder_, limited).wait(), 1, {path}, true);
  EXPECT_EQ(text_of(path), whole);
  EXPECT_FALSE(fs::exists(path + ".mneme-partial"));
  // A second export replaces the first.
  ASSERT_EQ(run({"export", directory(), "-o", path, "--untouched"}).status, 0);
  EXPECT_NE(text_of(path), whole);
}

TEST_F(RunAccess, DataThatMovedIsNamedAndDataThatChangedIsRefused) {
  train_until(3);
  const std::string moved = run_.path("moved.txt");
  fs::rename(config_.data.path, moved);
  expect_refused({"eval", directory()}, {config_.data.path, "--set data.path="});
  EXPECT_EQ(run({"eval", directory(), "--set", "data.path=" + moved}).status, 0);
  EXPECT_EQ(run({"generate", directory(), "--tokens", "3"}).status, 0) << "needs no data";
  EXPECT_EQ(run({"verify", directory()}).status, 0) << "needs no data";
  fs::rename(moved, config_.data.path);
  put(config_.data.path, text_of(config_.data.path) + "more");
  for (const std::string command : {"eval", "resume"}) {
    SCOPED_TRACE(command);
    expect_refused({command, directory()}, {config_.data.path, "--accept-changed-data"});
    EXPECT_EQ(run({command, directory(), "--accept-changed-data"}).status, 0);
  }
}

}  // namespace
}  // namespace mneme::test
