// mneme bench disk measures a small file and leaves nothing behind that was not asked for.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "io/benchmark_file.h"
#include "io/disk.h"
#include "io/error.h"
#include "tools/mneme/commands.h"

namespace mneme::tools {
namespace {

namespace fs = std::filesystem;

class BenchDisk : public testing::Test {
 protected:
  BenchDisk() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    // Beside the build, for the temporary folder may be one that has no direct I/O.
    options_.path = (fs::current_path() /
                     ("bench_disk_" + std::string(test->name()) + "_" + std::to_string(getpid())))
                        .string();
    options_.file_bytes = 1 << 20;
    options_.record_bytes = 4096;
    options_.depth = 4;
    options_.seconds = 0.02;
    options_.read_share = 0.5;
  }
  ~BenchDisk() override { fs::remove(options_.path); }

  std::string error() {
    try {
      run_bench_disk(options_);
      ADD_FAILURE() << "it ran";
      return {};
    } catch (const io::Error& error) {
      return error.what();
    }
  }
  std::string text() const {
    std::ifstream file(options_.path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  BenchDiskOptions options_;
};

TEST_F(BenchDisk, PrintsOneJsonObjectAndRemovesItsFile) {
  options_.json = true;
  testing::internal::CaptureStdout();
  EXPECT_EQ(run_bench_disk(options_), 0);
  const auto result = nlohmann::json::parse(testing::internal::GetCapturedStdout());
  EXPECT_EQ(result["record_bytes"], 4096);
  EXPECT_GT(result["iops"], 0);
  EXPECT_GT(result["reads"]["transfers"], 0);
  EXPECT_GT(result["writes"]["transfers"], 0);
  EXPECT_FALSE(fs::exists(options_.path));
}

TEST_F(BenchDisk, PrintsTheRatesForPeople) {
  options_.io_engine = io::IoEngine::kSync;
  testing::internal::CaptureStdout();
  EXPECT_EQ(run_bench_disk(options_), 0);
  const std::string text = testing::internal::GetCapturedStdout();
  for (const char* part : {"read ", "write ", "total ", "records/s", "MB/s", "p99"}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
}

TEST_F(BenchDisk, NeverOverwritesAFileThatItDidNotMake) {
  for (const bool reuse : {false, true}) {
    for (const std::string& content :
         {std::string(), std::string("precious"), std::string(8192, '\0')}) {
      options_.reuse = reuse;
      std::ofstream(options_.path) << content;
      EXPECT_NE(error().find("no file of this benchmark"), std::string::npos);
      EXPECT_EQ(text(), content);
    }
  }
}

TEST_F(BenchDisk, LeavesAFolderALinkAndAPipeAlone) {
  options_.reuse = true;
  fs::create_directory(options_.path);
  EXPECT_NE(error().find("a folder"), std::string::npos);
  EXPECT_TRUE(fs::is_directory(options_.path));
  fs::remove(options_.path);
  fs::create_symlink("nowhere", options_.path);
  EXPECT_NE(error().find("a link"), std::string::npos);
  EXPECT_TRUE(fs::is_symlink(options_.path));
  fs::remove(options_.path);
  ASSERT_EQ(::mkfifo(options_.path.c_str(), 0600), 0);
  EXPECT_NE(error().find("a pipe"), std::string::npos);
  EXPECT_TRUE(fs::is_fifo(options_.path));
}

TEST_F(BenchDisk, TakesUpAFileThatWasNotCompleted) {
  options_.keep = true;
  testing::internal::CaptureStdout();
  EXPECT_EQ(run_bench_disk(options_), 0);
  {
    const auto disk = io::make_posix_disk();
    const auto file = disk->open(options_.path, {});
    io::write_benchmark_mark(*file, {options_.file_bytes / 2, false});
  }
  EXPECT_NE(error().find("--reuse"), std::string::npos);
  options_.reuse = true;
  EXPECT_EQ(run_bench_disk(options_), 0);
  EXPECT_EQ(fs::file_size(options_.path), options_.file_bytes + io::kBenchmarkMarkBytes);
  testing::internal::GetCapturedStdout();
}

TEST_F(BenchDisk, KeepsTheFileForTheNextRunWhenAsked) {
  options_.keep = true;
  testing::internal::CaptureStdout();
  EXPECT_EQ(run_bench_disk(options_), 0);
  EXPECT_TRUE(fs::exists(options_.path));
  options_.reuse = true;
  EXPECT_EQ(run_bench_disk(options_), 0);
  testing::internal::GetCapturedStdout();
}

}  // namespace
}  // namespace mneme::tools
