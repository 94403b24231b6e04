// The program as people run it: what it prints where, and its exit status.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class Program : public testing::Test {
 protected:
  Program() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() /
              ("mneme_program_" + std::string(test->name()) + "_" + std::to_string(getpid()));
    fs::create_directories(folder_);
  }
  ~Program() override { fs::remove_all(folder_); }

  // Runs `mneme ARGUMENTS` (shell words) in an empty folder.
  void run(const std::string& arguments) {
    const std::string command = "cd '" + folder_.string() + "' && '" + MNEME_PROGRAM + "' " +
                                arguments + " >out 2>error </dev/null";
    const int status = std::system(command.c_str());
    ASSERT_TRUE(WIFEXITED(status));
    status_ = WEXITSTATUS(status);
    output_ = text_of(folder_ / "out");
    error_ = text_of(folder_ / "error");
  }
  void expect_one_line_of_error(int status) const {
    EXPECT_EQ(status_, status);
    EXPECT_EQ(output_, "");
    EXPECT_TRUE(error_.starts_with("error: ")) << error_;
    EXPECT_EQ(std::count(error_.begin(), error_.end(), '\n'), 1) << error_;
  }

  fs::path folder_;
  int status_ = -1;
  std::string output_;
  std::string error_;
};

TEST_F(Program, TellsItsVersionAndItsCommands) {
  run("--version");
  EXPECT_EQ(status_, 0);
  EXPECT_TRUE(output_.starts_with("mneme ")) << output_;
  run("--help");
  EXPECT_EQ(status_, 0);
  for (const char* command :
       {"train", "resume", "eval", "generate", "verify", "inspect", "export", "bench"}) {
    EXPECT_NE(output_.find(command), std::string::npos) << command;
  }
}

TEST_F(Program, WrongUsageExitsWithTwo) {
  run("trian configs/quickstart.toml");
  expect_one_line_of_error(2);
  run("");
  expect_one_line_of_error(2);
}

TEST_F(Program, AMissingConfigurationExitsWithOne) {
  run("train nowhere.toml");
  expect_one_line_of_error(1);
  EXPECT_NE(error_.find("nowhere.toml"), std::string::npos) << error_;
}

TEST_F(Program, AMistakeInAConfigurationIsNamedWithFileLineAndKey) {
  std::ofstream(folder_ / "run.toml") << "[model]\nwidht = 64\n";
  run("train run.toml");
  expect_one_line_of_error(1);
  EXPECT_EQ(error_, "error: run.toml:2: unknown key model.widht; did you mean model.width?\n");
}

TEST_F(Program, AFolderThatIsNoRunExitsWithOne) {
  for (const char* command : {"resume", "eval", "generate", "verify", "inspect"}) {
    SCOPED_TRACE(command);
    run(std::string(command) + " no-such-run");
    expect_one_line_of_error(1);
    EXPECT_NE(error_.find("no-such-run"), std::string::npos) << error_;
  }
}

TEST_F(Program, ConfigurationHelpIsTheDocumentation) {
  run("train --help-config markdown");
  EXPECT_EQ(status_, 0);
  EXPECT_EQ(output_, text_of(fs::path(MNEME_SOURCE_DIR) / "docs/configuration.md"));
}

}  // namespace
